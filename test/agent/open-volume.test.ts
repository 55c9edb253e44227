// Opening a repository whose datastore is full, over a real filesystem that was not closed: refused before its journal is
// written to where there is no room, and whole once there is. It needs root.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resizeRepo } from '../../src/agent/repo-resize.ts';
import { mountRepo } from '../../src/agent/repo-volume.ts';
import { ext4Superblock, parseExt4 } from '../../src/lifecycle/ext4.ts';
import { GUID, KEY, MIB, mounted, PlayedVolume, sh, type World } from './played-volume.ts';

let volume: PlayedVolume;

beforeEach(() => {
  volume = new PlayedVolume(120 * MIB, () => undefined);
});
afterEach(() => volume.destroy());

/** The image as a crash leaves it: a file was acknowledged, and is in the journal only. */
function crash(): void {
  const snapshot = join(volume.datastore, 'snapshot');
  volume.inside((device) =>
    mounted(device, (at) => {
      writeFileSync(join(at, 'acknowledged'), 'paid\n');
      sh('sync', '--file-system', at);
      sh('sync', volume.paths.image);
      sh('cp', '--sparse=always', volume.paths.image, snapshot);
    }),
  );
  sh('mv', snapshot, volume.paths.image);
}

const superblock = () => {
  let text = '';
  volume.inside((device) => {
    text = sh('dumpe2fs', ...ext4Superblock(device).args);
  });
  return parseExt4(text);
};
const digest = () => sh('sha256sum', volume.paths.image);
const mount = (world: World) => mountRepo({ repo: GUID, credential: KEY }, volume.contextOf(world).context);
const isClosed = () => volume.mapping === undefined && volume.attached().length === 0;

test('what is read of the superblock: not closed, and how much its journal may hold', () => {
  expect(superblock()).toMatchObject({ needsRecovery: false, journalBytes: 4 * MIB });
  crash();
  expect(superblock()).toMatchObject({ needsRecovery: true, journalBytes: 4 * MIB });
  const older = 'Filesystem features:      has_journal needs_recovery\nJournal size:             16M\n';
  expect(parseExt4(older)).toMatchObject({ needsRecovery: true, journalBytes: 16 * MIB });
});

test.each(['cryptsetup open --type', 'mount --rw'])(
  'cancelled at %s, nothing stays attached or open, and it is no damage',
  async (cancelAt) => {
    await expect(mount({ cancelAt })).rejects.toMatchObject({ code: 'CANCELLED' });
    expect([volume.attached(), volume.mapping]).toEqual([[], undefined]);
    expect(await mount({})).toMatchObject({ output: { changed: true } });
  },
);

describe('below the floor of the datastore', () => {
  test('a closed one is not opened, in a dry run neither, and nothing is touched', async () => {
    for (const dryRun of [true, false]) {
      const { context, done } = volume.contextOf({ freeBytes: 63 * MIB, dryRun });
      await expect(mountRepo({ repo: GUID, credential: KEY }, context)).rejects.toMatchObject({
        code: 'NO_SPACE',
        message: `the datastore ${volume.datastore} is full: 63M are free to root, 64M are needed to open repository "shop"`,
        hint: expect.stringContaining('rdc machine status'),
      });
      expect(done).toEqual([]);
    }
    // Control: a little more, and it opens.
    expect((await mount({ freeBytes: 64 * MIB })).output).toMatchObject({ state: 'mounted', changed: true });
  });

  test('one that is open stays open, and a second mount says so', async () => {
    await mount({});
    expect((await mount({ freeBytes: 0 })).output).toMatchObject({ state: 'mounted', changed: false });
  });
});

describe('a filesystem that was not closed', () => {
  test('is not mounted without room for its journal, left as it is, and whole once there is room', async () => {
    crash();
    const before = digest();
    await expect(mount({ freeBytes: 67 * MIB })).rejects.toMatchObject({
      code: 'NO_SPACE',
      message: expect.stringMatching(/"shop" was not closed, and 68M must be free on the datastore .*: 67M are/),
    });
    expect([isClosed(), digest()]).toEqual([true, before]);
    await mount({ freeBytes: 68 * MIB });
    expect(readFileSync(join(volume.paths.mountPoint, 'acknowledged'), 'utf8')).toBe('paid\n');
    // Control: what was refused does write to the image.
    expect(digest()).not.toBe(before);
  });

  test('is not checked for a resize without that room either', async () => {
    crash();
    const before = digest();
    const resize = (freeBytes: number) =>
      resizeRepo({ repo: GUID, sizeBytes: 119 * MIB, credential: KEY }, volume.contextOf({ freeBytes }).context);
    await expect(resize(67 * MIB)).rejects.toMatchObject({ code: 'NO_SPACE' });
    expect([isClosed(), digest()]).toEqual([true, before]);
    await resize(68 * MIB);
    expect(volume.imageSize()).toBe(119 * MIB);
  });

  test('with a clean one the floor is enough', async () => {
    expect((await mount({ freeBytes: 64 * MIB })).output).toMatchObject({ state: 'mounted' });
    execFileSync('umount', [volume.paths.mountPoint]);
  });
});
