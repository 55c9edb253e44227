// The filesystem of a fork: checked, with a UUID of its own, and with containers that dockerd does not start by itself.
import { command } from '../lifecycle/command.ts';
import { exitCodeOf } from '../lifecycle/luks.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { mountVolume } from '../lifecycle/volume.ts';
import { RdcError } from '../protocol/errors.ts';
import { holdContainers } from './held-containers.ts';

/** e2fsck(8): errors were corrected; replaying the journal is none. */
const CORRECTED = 1;

/** On the open mapping, not mounted. */
export async function renewFilesystem(system: System, target: RepoTarget): Promise<void> {
  const { paths, name, guid } = target;
  const device = paths.mapperDevice;
  try {
    const check = { ...command('e2fsck', '-p', device), allow: [CORRECTED], timeoutMs: Number.POSITIVE_INFINITY };
    await system.run(check);
  } catch (error) {
    const exitCode = exitCodeOf(error);
    // Killed or cancelled, it has found nothing.
    if (exitCode === undefined || exitCode > 128) throw error;
    throw new RdcError('VOLUME_DAMAGED', `the filesystem in the copy "${name}" has errors`, { cause: error });
  }
  const { stdout } = await system.run(command('tune2fs', '-l', device));
  const features = (/^Filesystem features:(.*)$/m.exec(stdout)?.[1] ?? '').trim().split(/\s+/);
  // With the seed in the superblock a new UUID changes no checksum; without it all of them, after a full check (ext4(5)).
  if (features.includes('metadata_csum') && !features.includes('metadata_csum_seed')) {
    await system.run(command('tune2fs', '-O', 'metadata_csum_seed', device));
  }
  await system.run(command('tune2fs', '-U', guid, device));
}

/** Mounts, and leaves it mounted: closing does both. */
export async function quietContainers(system: System, target: RepoTarget): Promise<number> {
  const { paths } = target;
  await system.makeDirectory(paths.mountPoint, 0o755);
  await system.run(mountVolume(target));
  const held = await holdContainers(system, target);
  await system.run(command('sync', '--file-system', paths.mountPoint));
  return held;
}
