import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { acquireLock, type LockRequest } from '../../src/agent/lock.ts';
import { lockOwners } from '../../src/agent/lock-owner.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { temporaryDirectory } from './harness.ts';
import { bundle, run } from './process.ts';

const RUN = '0123456789ab-01234567' as RunId;

function request(directory: string, more: Partial<LockRequest> = {}): LockRequest {
  const owner = { run: RUN, operation: 'repo up', actor: 'anna@laptop' };
  return { directory, key: 'shop', subject: '"shop"', owner, waitMs: 0, ...more };
}

/** Holder of the key "shop" in another process. */
async function holder(directory: string, kind = 'exclusive') {
  const other = run(await bundle('lock-holder.ts', directory), [directory, 'shop', kind]);
  await other.saying('held');
  return other;
}

describe('a lock that another process holds', () => {
  test('is refused with who, what, since when and how to follow', async () => {
    const directory = await temporaryDirectory();
    await holder(directory);
    const refused = acquireLock(request(directory));
    await expect(refused).rejects.toMatchObject({ code: 'BUSY', hint: `rdc run attach ${RUN}` });
    await expect(refused).rejects.toThrow(
      /^"shop" is being changed since \d\d:\d\d by anna@laptop \(repo up, run 0123456789ab-01234567\)$/,
    );
  });

  test('is free at once when that process is killed, and so is its label', async () => {
    const directory = await temporaryDirectory();
    const { child } = await holder(directory);
    expect(await lockOwners(directory, 'shop')).toHaveLength(1);
    const waiting = acquireLock(request(directory, { waitMs: 20_000 }));
    const started = performance.now();
    child.kill('SIGKILL');
    const lock = await waiting;
    expect(performance.now() - started).toBeLessThan(2000);
    expect(await lockOwners(directory, 'shop')).toMatchObject([{ actor: 'anna@laptop' }]);
    await lock.release();
    expect(await lockOwners(directory, 'shop')).toEqual([]);
  });

  test('is waited for and taken as soon as it is released', async () => {
    const directory = await temporaryDirectory();
    const { child } = await holder(directory);
    setTimeout(() => child.stdin?.end(), 300);
    const started = performance.now();
    const lock = await acquireLock(request(directory, { waitMs: 30_000 }));
    expect(performance.now() - started).toBeLessThan(3000);
    await lock.release();
  });

  test('is waited for a while by those who would not wait, where it is upkeep of ours; upkeep itself does not wait', async () => {
    const directory = await temporaryDirectory();
    const owner = { operation: 'a look at it', actor: 'supervisor', isUpkeep: true };
    const look = await acquireLock(request(directory, { owner }));
    await expect(acquireLock(request(directory, { owner }))).rejects.toThrow(/in use since .* by supervisor/);
    const run = acquireLock(request(directory));
    // Not refused at once, as one without a lock would be told by now.
    await expect(acquireLock(request(directory, { owner }))).rejects.toMatchObject({ code: 'BUSY' });
    await look.release();
    await (await run).release();
  });

  test('whose holder cannot be named is tried again: it was just leaving', async () => {
    const directory = await temporaryDirectory();
    const leaving = await acquireLock(request(directory));
    const [label] = (await readdir(directory)).filter((name) => name.endsWith('.json'));
    await rm(join(directory, String(label)));
    const taken = acquireLock(request(directory));
    setTimeout(() => void leaving.release(), 300);
    await (await taken).release();
  });

  test('is given up after the time that was given', async () => {
    const directory = await temporaryDirectory();
    await holder(directory);
    await expect(acquireLock(request(directory, { waitMs: 1200 }))).rejects.toThrow(/; waited 1 s$/);
  });

  test('is no longer waited for when the waiting is cancelled', async () => {
    const directory = await temporaryDirectory();
    await holder(directory);
    const controller = new AbortController();
    const waiting = acquireLock(request(directory, { waitMs: 60_000, signal: controller.signal }));
    setTimeout(() => controller.abort(), 100);
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(acquireLock(request(directory, { signal: controller.signal }))).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });
});

describe('shared holders', () => {
  test('stand beside each other and keep an exclusive one out', async () => {
    const directory = await temporaryDirectory();
    await holder(directory, 'shared');
    const owner = { operation: 'file transfer', actor: 'ben@desk' };
    const second = await acquireLock(request(directory, { shared: true, owner }));
    expect(await lockOwners(directory, 'shop')).toHaveLength(2);
    await expect(acquireLock(request(directory))).rejects.toMatchObject({ code: 'BUSY' });
    await second.release();
    expect(await lockOwners(directory, 'shop')).toHaveLength(1);
  });

  test('that are no run are told as what they are', async () => {
    const directory = await temporaryDirectory();
    const owner = { operation: 'file transfer', actor: 'ben@desk' };
    const lock = await acquireLock(request(directory, { shared: true, owner }));
    await expect(acquireLock(request(directory))).rejects.toThrow(
      /^"shop" is in use since \d\d:\d\d by ben@desk \(file transfer\)$/,
    );
    await lock.release();
  });
});

test('locks of other keys are free, and a key that begins like another is another', async () => {
  const directory = await temporaryDirectory();
  const shop = await acquireLock(request(directory));
  const other = await acquireLock(request(directory, { key: 'shop.2' }));
  expect(await lockOwners(directory, 'shop')).toHaveLength(1);
  await Promise.all([shop.release(), other.release()]);
  expect((await readdir(directory)).sort()).toEqual(['shop.2.lock', 'shop.lock']);
});

test('whoever loses a lock to somebody who killed its holder is told', async () => {
  const directory = await temporaryDirectory();
  const lock = await acquireLock(request(directory));
  const lost = new Promise<void>((resolve) => lock.onLost(resolve));
  const [label = ''] = (await readdir(directory)).filter((name) => name.endsWith('.json'));
  process.kill(Number(label.split('.')[1]), 'SIGKILL');
  await lost;
  await lock.release();
});

test('a directory that cannot be locked is no conflict', async () => {
  const directory = await temporaryDirectory();
  await expect(acquireLock(request(directory, { key: join('no', 'such') }))).rejects.toMatchObject({
    code: 'INTERNAL',
  });
});
