// Another size for a repository, over real images, LUKS headers, loop devices and ext4: cut off anywhere, the same command
// again finishes, no file is lost, and nothing half moved is mounted. It needs root.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resizeRepo } from '../../src/agent/repo-resize.ts';
import { mountRepo } from '../../src/agent/repo-volume.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { GUID, HEADER, KEY, MIB, mounted, PlayedVolume, sh, type World } from './played-volume.ts';

let volume: PlayedVolume;

beforeEach(() => {
  volume = new PlayedVolume(120 * MIB, (at) => writeFileSync(join(at, 'orders'), ORDERS));
});
afterEach(() => volume.destroy());

/** Near the end of a volume of 120 MiB, so that a shrink has to move some of it. */
const ORDERS = Array.from({ length: 300_000 }, (_, index) => `order ${index}\n`).join('');

const attached = () => volume.attached();

/** What is in the closed image: the filesystem fits it, is whole, and has its file. */
function expectWhole(): void {
  volume.inside((device) => {
    sh('e2fsck', '-f', '-n', device);
    mounted(device, (at) => expect(readFileSync(join(at, 'orders'), 'utf8') === ORDERS).toBe(true));
  });
}

const resize = (size: number, world: World = {}, credential: Secret | undefined = KEY) =>
  resizeRepo({ repo: GUID, sizeBytes: size, credential }, volume.contextOf(world).context);
const imageSize = () => volume.imageSize();
const note = () => JSON.parse(readFileSync(volume.paths.record, 'utf8')).resize as unknown;

describe.each([
  ['larger', 200 * MIB],
  ['smaller', 64 * MIB],
])('a closed repository becomes %s', (_, size) => {
  test('with its files, closed again; once more it is already so', async () => {
    expect((await resize(size)).output).toMatchObject({ changed: true, state: 'closed', beforeBytes: 120 * MIB });
    expect([imageSize(), attached(), volume.mapping, note()]).toEqual([size, [], undefined, undefined]);
    expectWhole();
    const again = volume.contextOf();
    const end = await resizeRepo({ repo: GUID, sizeBytes: size, credential: undefined }, again.context);
    expect([end.output?.changed, again.done]).toEqual([false, []]);
  });

  test('cut off after each step, the same command finishes it', async () => {
    const template = `${volume.datastore}/template`;
    sh('cp', '--sparse=always', volume.paths.image, template);
    for (let changes = 1; ; changes += 1) {
      const first = await resize(size, { changes }).catch((error: Error) => error.message);
      if (typeof first === 'object') {
        expect(changes).toBeGreaterThan(8);
        break;
      }
      if ((note() as { offline?: boolean } | undefined)?.offline) {
        const mounting = mountRepo({ repo: GUID, credential: KEY }, volume.contextOf().context);
        await expect(mounting).rejects.toThrow('a resize of "shop" was cut off');
      }
      expect((await resize(size)).output, `after ${changes} changes`).toMatchObject({ state: 'closed' });
      expect([imageSize(), attached(), volume.mapping, note()]).toEqual([size, [], undefined, undefined]);
      expectWhole();
      sh('cp', '--sparse=always', template, volume.paths.image);
    }
  }, 120_000);

  test.each(['cryptsetup open', 'e2fsck', 'systemd-run'])(
    'cancelled at %s, it is closed again, and the same command finishes it',
    async (cancelAt) => {
      await expect(resize(size, { cancelAt })).rejects.toMatchObject({ code: 'CANCELLED' });
      expect([attached(), volume.mapping]).toEqual([[], undefined]);
      expect((await resize(size)).output).toMatchObject({ changed: true });
      expectWhole();
    },
  );

  test('cut off and given up: back to what it was', async () => {
    await expect(resize(size, { changes: 8 })).rejects.toThrow('killed');
    expect(note()).toMatchObject({ sizeBytes: size });
    await resize(120 * MIB);
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
    expectWhole();
  });

  test('a dry run tells the steps and changes nothing', async () => {
    const { context, plan, done } = volume.contextOf({ dryRun: true });
    await resizeRepo({ repo: GUID, sizeBytes: size, credential: KEY }, context);
    expect([done, imageSize(), note()]).toEqual([[], 120 * MIB, undefined]);
    expect(plan.map(({ id }) => id)).toContain('filesystem.resize');
  });
});

describe('an open repository', () => {
  test('grows; cut off after each step, the same command finishes it', async () => {
    volume.open();
    for (let changes = 1, size = 120 * MIB; ; changes += 1) {
      size += 20 * MIB;
      const first = await resize(size, { changes, isMounted: true }).catch((error: Error) => error.message);
      const end = await resize(size, { isMounted: true });
      expect(end.output, `after ${changes} changes`).toMatchObject({ state: 'mounted', sizeBytes: size });
      const sizes = [volume.mapping, attached()[0]].map((device) =>
        Number(sh('blockdev', '--getsize64', String(device))),
      );
      expect([imageSize(), ...sizes, note()]).toEqual([size, size - HEADER, size, undefined]);
      if (first !== 'killed') break;
    }
    expect((await resize(imageSize(), { isMounted: true })).output).toMatchObject({ changed: false });
    const size = Number(/Block count: +(\d+)/.exec(sh('dumpe2fs', '-h', String(volume.mapping)))?.[1]) * 1024;
    expect(imageSize() - HEADER - size).toBeLessThan(MIB);
  }, 60_000);

  test('does not become smaller', async () => {
    volume.open();
    const end = resize(64 * MIB, { isMounted: true });
    await expect(end).rejects.toMatchObject({ code: 'VOLUME_IN_USE', hint: 'rdc repo down shop --unmount' });
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
  });

  test('does not grow without a key, or with a wrong one, and nothing is changed', async () => {
    volume.open();
    const without = resizeRepo({ repo: GUID, sizeBytes: 200 * MIB }, volume.contextOf({ isMounted: true }).context);
    await expect(without).rejects.toMatchObject({ code: 'CREDENTIAL_MISSING' });
    const wrong = resize(200 * MIB, { isMounted: true }, new Secret('another'));
    await expect(wrong).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
  });
});

describe('refused', () => {
  test('attached a second time by somebody, open or closed; control: once, it grows', async () => {
    const second = sh('losetup', '--find', '--show', volume.paths.image);
    volume.open();
    for (const world of [{}, { isMounted: true }]) {
      const end = resize(200 * MIB, world);
      await expect(end).rejects.toMatchObject({ code: 'VOLUME_IN_USE', hint: expect.stringContaining('losetup') });
      expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
    }
    volume.close();
    for (const device of attached()) sh('losetup', '--detach', device);
    expect(attached()).not.toContain(second);
    expect((await resize(200 * MIB)).output).toMatchObject({ changed: true });
  });

  test('smaller than its files: the least is named, and taken', async () => {
    const end = (await resize(20 * MIB).catch((error) => error)) as { code: string; hint: string };
    expect(end).toMatchObject({ code: 'INVALID_INPUT' });
    expect([imageSize(), attached(), note()]).toEqual([120 * MIB, [], undefined]);
    const least = Number(/--size (\d+)M$/.exec(end.hint)?.[1]);
    expect(least).toBeGreaterThan(20);
    await resize(least * MIB);
    expectWhole();
  });

  test('larger than the datastore could ever hold', async () => {
    const end = resize(1024 ** 4, { freeBytes: 300 * MIB });
    await expect(end).rejects.toMatchObject({ code: 'NO_SPACE', hint: expect.stringContaining('--size 256M') });
    const none = resize(1024 ** 4, { freeBytes: 65 * MIB });
    await expect(none).rejects.toMatchObject({ code: 'NO_SPACE', hint: expect.stringContaining('free some space') });
  });

  test('smaller, where what is moved may find no room on the datastore', async () => {
    const end = resize(100 * MIB, { freeBytes: 83 * MIB });
    await expect(end).rejects.toMatchObject({ code: 'NO_SPACE', message: expect.stringContaining('up to 84M') });
    expect([imageSize(), attached(), note()]).toEqual([120 * MIB, [], undefined]);
    await resize(100 * MIB, { freeBytes: 84 * MIB });
    expect(imageSize()).toBe(100 * MIB);
    expectWhole();
  });

  test('a wrong credential, before anything is changed', async () => {
    await expect(resize(200 * MIB, {}, new Secret('another'))).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
  });

  test('a filesystem with faults that need a decision', async () => {
    volume.inside((device) => sh('debugfs', '-w', '-R', 'clri <2>', device));
    await expect(resize(64 * MIB)).rejects.toMatchObject({ code: 'VOLUME_DAMAGED' });
    expect([imageSize(), attached(), note()]).toEqual([120 * MIB, [], undefined]);
  });
});
