// An image that takes all of its space at once, over a real one: it keeps it, whatever is freed inside, grows with it, and a full
// datastore is none of its business. Needs root.
import { statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { resizeRepo } from '../../src/agent/repo-resize.ts';
import { mountRepo } from '../../src/agent/repo-volume.ts';
import { hasItsBlocks, refuseCopyOnWrite } from '../../src/lifecycle/create-plan.ts';
import { luksOpen } from '../../src/lifecycle/luks.ts';
import { luksOpenWithKeyFile } from '../../src/lifecycle/luks-key-file.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { shopTarget } from '../helpers/target.ts';
import { GUID, KEY, MIB, PlayedVolume, sh, type World } from './played-volume.ts';

function volumeThat(isPreallocated: boolean): PlayedVolume {
  const volume = new PlayedVolume(120 * MIB, () => undefined, isPreallocated);
  onTestFinished(() => volume.destroy());
  return volume;
}
const mount = (volume: PlayedVolume, world: World = {}) =>
  mountRepo({ repo: GUID, credential: KEY }, volume.contextOf(world).context);
const allocated = ({ paths }: PlayedVolume) => statSync(paths.image).blocks * 512;

describe('what is freed inside', () => {
  async function afterDeleting(isPreallocated: boolean): Promise<PlayedVolume> {
    const volume = volumeThat(isPreallocated);
    await mount(volume);
    const file = join(volume.paths.mountPoint, 'file');
    writeFileSync(file, Buffer.alloc(40 * MIB, 1));
    sh('sync', '--file-system', volume.paths.mountPoint);
    sh('sync', volume.paths.image);
    expect(allocated(volume)).toBeGreaterThan(40 * MIB);
    await rm(file);
    sh('sync', '--file-system', volume.paths.mountPoint);
    sh('sync', volume.paths.image);
    return volume;
  }

  test('stays taken', async () => {
    expect(allocated(await afterDeleting(true))).toBeGreaterThanOrEqual(120 * MIB);
  });

  test('control: of a sparse one it goes back to the datastore', async () => {
    const volume = await afterDeleting(false);
    // The kernel discards in a work queue of its own, after the commit.
    await expect.poll(() => allocated(volume), { timeout: 20_000 }).toBeLessThan(40 * MIB);
  });

  test('the encryption lets no discard through', () => {
    const target = ['/dev/loop7', 'rediacc-x'] as const;
    const opened = [
      luksOpen(...target, new Secret('k'), { keepsBlocks: true }),
      luksOpenWithKeyFile(...target, '/k', { keepsBlocks: true }),
    ];
    for (const { args } of opened) expect(args).not.toContain('--allow-discards');
    // Control.
    for (const { args } of [luksOpen(...target, new Secret('k')), luksOpenWithKeyFile(...target, '/k')])
      expect(args).toContain('--allow-discards');
  });
});

test('it is opened on a full datastore', async () => {
  expect((await mount(volumeThat(true), { freeBytes: 0 })).output).toMatchObject({ state: 'mounted', changed: true });
});

test('it grows with all its blocks, and a hole that somebody made is filled', async () => {
  const volume = volumeThat(true);
  const resize = (size: number, freeBytes?: number) =>
    resizeRepo(
      { repo: GUID, sizeBytes: size, credential: KEY },
      volume.contextOf({ ...(freeBytes === undefined ? {} : { freeBytes }) }).context,
    );
  await resize(160 * MIB);
  expect([volume.imageSize(), allocated(volume) >= 160 * MIB]).toEqual([160 * MIB, true]);
  const target = { ...shopTarget(), preallocated: true };
  sh('fallocate', '--punch-hole', '--offset', String(150 * MIB), '--length', String(MIB), volume.paths.image);
  expect(hasItsBlocks(target, { allocatedBytes: allocated(volume) }, 160 * MIB)).toBe(false);
  await resize(170 * MIB);
  expect(allocated(volume)).toBeGreaterThanOrEqual(170 * MIB);
  await expect(resize(400 * MIB, 100 * MIB)).rejects.toMatchObject({ code: 'NO_SPACE' });
});

test('not where every write takes new blocks', () => {
  expect(() => refuseCopyOnWrite(shopTarget(), 'btrfs')).toThrow(
    expect.objectContaining({ code: 'HOST_NOT_SUITABLE' }),
  );
  expect(() => refuseCopyOnWrite(shopTarget(), 'ext4')).not.toThrow();
});
