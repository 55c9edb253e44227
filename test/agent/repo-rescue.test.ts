// The reserve of a repository over a real volume: set aside while there is plenty, given up when it is full, and never led
// elsewhere by what others write there. It needs root.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { rescueRepo } from '../../src/agent/repo-rescue.ts';
import { mountRepo } from '../../src/agent/repo-volume.ts';
import { openWorkbench } from '../../src/agent/repo-workbench.ts';
import { refuseFull } from '../../src/agent/volume-space.ts';
import { GUID, KEY, MIB, PlayedVolume } from './played-volume.ts';

let volume: PlayedVolume;
let at: string;
let reserve: string;

beforeEach(() => {
  volume = new PlayedVolume(120 * MIB, () => undefined);
  at = volume.paths.mountPoint;
  reserve = volume.paths.reserve;
});
afterEach(() => volume.destroy());

const input = { repo: GUID, credential: KEY };
const mount = (context = volume.contextOf().context) => mountRepo(input, context);
const rescue = async (context = volume.contextOf().context) => {
  const { output } = await rescueRepo(input, context);
  if (output === undefined) throw new Error('it was planned only');
  return output;
};
/** As `up` asks before it starts anything. */
const mayStart = async () => {
  const { context } = volume.contextOf();
  return refuseFull(await openWorkbench(context, GUID), context);
};
function fill(): void {
  spawnSync('dd', ['if=/dev/zero', `of=${join(at, 'filling')}`, 'bs=64K']);
  expect(() => writeFileSync(join(at, 'one-more'), Buffer.alloc(MIB))).toThrow('ENOSPC');
}
const writeMore = () => writeFileSync(join(at, 'one-more'), Buffer.alloc(3 * MIB));

test('set aside at the first mount, readable by root only; kept by the second', async () => {
  await mount();
  const { size, blocks, mode, ino } = statSync(reserve);
  expect([size, mode]).toEqual([expect.closeTo(4 * MIB, -6), 0o100600]);
  expect(blocks * 512).toBeGreaterThanOrEqual(size);
  await mount();
  expect(statSync(reserve).ino).toBe(ino);
});

test('it takes no room on the datastore', async () => {
  const allocated = () => Number(execFileSync('stat', ['--format=%b', volume.paths.image]));
  await mount();
  execFileSync('sync', ['--file-system', at]);
  const before = allocated();
  rmSync(reserve);
  await mount();
  execFileSync('sync', ['--file-system', at]);
  expect(existsSync(reserve)).toBe(true);
  expect((allocated() - before) * 512).toBeLessThan(MIB);
});

test('a full one is refused, rescued, and may start; then nothing is left to give up', async () => {
  await mount();
  fill();
  const refusal = { code: 'NO_SPACE', hint: 'rdc repo rescue shop' };
  await expect(mayStart()).rejects.toMatchObject(refusal);
  // Control: with the reserve there is no room for what comes below.
  expect(writeMore).toThrow('ENOSPC');
  rmSync(join(at, 'one-more'));

  const plan = volume.contextOf({ dryRun: true });
  await rescueRepo(input, plan.context);
  expect([plan.plan.at(-1), existsSync(reserve)]).toMatchObject([{ id: 'volume.rescue', expect: 'change' }, true]);

  const { freedBytes, ...told } = await rescue();
  expect(freedBytes).toBeGreaterThan(3.5 * MIB);
  expect(told).toMatchObject({ changed: true, state: 'mounted', mountPoint: at, isWhole: true });
  expect(told.lacking).toBeUndefined();
  expect(told.largest[0]).toMatchObject({ what: 'filling', path: 'filling' });
  await mayStart();
  writeMore();
  expect(existsSync(reserve)).toBe(false);

  // Full once more, and it is not set aside again while there is no room for it.
  expect(await rescue()).toMatchObject({ changed: false, freedBytes: 0, lacking: 'bytes' });
  await mount();
  expect(existsSync(reserve)).toBe(false);
  rmSync(join(at, 'filling'));
  await mount();
  expect(existsSync(reserve)).toBe(true);
});

test('without need nothing is given up; a closed one is mounted', async () => {
  expect(await rescue()).toMatchObject({ changed: true, state: 'mounted', freedBytes: 0 });
  await mount();
  expect(await rescue()).toMatchObject({ changed: false, freedBytes: 0 });
  expect(existsSync(reserve)).toBe(true);
});

test('no inode left: told, with where the files are', async () => {
  await mount();
  mkdirSync(join(at, 'cache'));
  const free = (await createLinuxSystem({}).space(at))?.freeInodes ?? 0;
  for (let file = 0; file < free; file += 1) writeFileSync(join(at, 'cache', String(file)), '');
  await expect(mayStart()).rejects.toThrow('0 of');
  expect(await rescue()).toMatchObject({ lacking: 'inodes', largest: [{ what: 'cache', amount: expect.any(Number) }] });
});

describe('what others put in its place', () => {
  let elsewhere: string;
  beforeEach(async () => {
    elsewhere = mkdtempSync(join(tmpdir(), 'rdc-elsewhere-'));
    writeFileSync(join(elsewhere, 'reserve'), 'theirs');
    await mount();
  });
  afterEach(() => rmSync(elsewhere, { recursive: true }));
  const untouched = () =>
    expect([readdirSync(elsewhere), statSync(join(elsewhere, 'reserve')).size]).toEqual([['reserve'], 6]);

  test('a link for the file', async () => {
    rmSync(reserve);
    symlinkSync(join(elsewhere, 'reserve'), reserve);
    symlinkSync(join(elsewhere, 'reserve'), `${reserve}.new`);
    await mount();
    untouched();
    expect(statSync(reserve).size).toBeGreaterThan(MIB);
  });

  test('a link for the directory', async () => {
    renameSync(volume.paths.internal, join(at, 'moved'));
    symlinkSync(elsewhere, volume.paths.internal);
    const { context, events } = volume.contextOf();
    await mount(context);
    fill();
    await rescue().catch(() => undefined);
    untouched();
    expect(events.filter(({ kind }) => kind === 'warning')).toHaveLength(1);
  });
});
