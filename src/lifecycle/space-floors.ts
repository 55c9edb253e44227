// How much must be free for a repository to be opened and started, at both levels, and the refusals below that. All of it
// counts what root can write: the agent, docker daemons and the kernel's writes into images are root's.
import { RdcError } from '../protocol/errors.ts';
import { formatSize } from '../protocol/size.ts';
import type { Ext4 } from './ext4.ts';
import type { Space } from './space.ts';
import type { RepoTarget } from './target.ts';

const MIB = 1024 ** 2;

/** On the datastore: what open filesystems may write before somebody reacts. A sparse image that finds no room below it answers with I/O errors. */
export const DATASTORE_FLOOR = 64 * MIB;
/** On the datastore too, set aside by setup and given up by the agent: 256 MiB, of small ones 2 %. */
export function datastoreReserve(space: Pick<Space, 'totalBytes'> | undefined): number {
  const share = space === undefined ? Number.POSITIVE_INFINITY : space.totalBytes / 50;
  return Math.floor(Math.min(256 * MIB, share) / 4096) * 4096;
}

/** mke2fs makes no journal larger than this (ext2fs_default_journal_size()). */
const LARGEST_JOURNAL = 1024 * MIB;

type Named = Pick<RepoTarget, 'name'>;
type Lain = Pick<RepoTarget, 'name' | 'datastore'>;
export type Room = Pick<Space, 'rootBytes'>;

/** In the volume: dockerd does not start on a full one, and functions write. 16 MiB and 256 inodes, of small volumes 2 %. */
export function volumeFloor({ totalBytes, totalInodes }: Space): { bytes: number; inodes: number } {
  return {
    bytes: Math.min(16 * MIB, Math.floor(totalBytes / 50)),
    inodes: Math.min(256, Math.floor(totalInodes / 50)),
  };
}

export function isBelowFloor(space: Space): boolean {
  const floor = volumeFloor(space);
  return space.rootBytes < floor.bytes || space.freeInodes < floor.inodes;
}

/** Set aside inside: 64 MiB, of small volumes 4 %. More than the floor, so that giving it up on a full volume lets it start. */
export function volumeReserve({ totalBytes }: Space): number {
  return Math.floor(Math.min(64 * MIB, totalBytes / 25) / 4096) * 4096;
}

/** A reserve is set aside where three times as much is free, and given up only where it is not. */
export function isAmple(space: Space): boolean {
  return space.freeBytes >= 3 * volumeReserve(space) && !isBelowFloor(space);
}

/** Throws NO_SPACE with the way out. */
export function refuseFullVolume({ name }: Named, space: Space): void {
  const floor = volumeFloor(space);
  const why = 'its docker daemon to start and its functions to write';
  const hint = `rdc repo rescue ${name}`;
  if (space.rootBytes < floor.bytes) {
    const found = `${formatSize(space.rootBytes)} of ${formatSize(space.totalBytes)} are free to root inside`;
    const message = `the volume of repository "${name}" is full: ${found}, ${formatSize(floor.bytes)} are needed for ${why}`;
    throw new RdcError('NO_SPACE', message, { hint });
  }
  if (space.freeInodes < floor.inodes) {
    const found = `${space.freeInodes} of ${space.totalInodes} inodes are free inside`;
    const message = `the volume of repository "${name}" has too many files: ${found}, ${floor.inodes} are needed for ${why}`;
    throw new RdcError('NO_SPACE', message, { hint });
  }
}

/**
 * Before a closed repository is opened, or one is forked: what its parent then overwrites takes new blocks. Throws NO_SPACE. What
 * is deleted in a repository goes back to the datastore, and a rescue opens one for that whatever is free.
 */
export function refuseFullDatastore({ name, datastore }: Lain, { rootBytes }: Room, what: 'open' | 'fork'): void {
  if (rootBytes >= DATASTORE_FLOOR) return;
  const found = `${formatSize(rootBytes)} are free to root, ${formatSize(DATASTORE_FLOOR)} are needed to ${what} repository "${name}"`;
  throw new RdcError('NO_SPACE', `the datastore ${datastore} is full: ${found}`, {
    hint: `rdc machine status   (then free some space there, or delete something inside a repository: rdc repo rescue ${name})`,
  });
}

/**
 * Before blocks are moved to the front of a sparse image, at most so many as lie behind its new end: what is not there is not
 * always told to resize2fs, which writes through the page cache, and the old copies are cut off then. Throws NO_SPACE.
 */
export function refuseShrinkWithoutRoom(
  { name, datastore }: Lain,
  { rootBytes }: Room,
  { image, wantedBytes }: { image: { sizeBytes: number; allocatedBytes: number }; wantedBytes: number },
): void {
  const moved = Math.min(image.allocatedBytes, Math.max(0, image.sizeBytes - wantedBytes));
  if (rootBytes >= DATASTORE_FLOOR + moved) return;
  const needed = `up to ${formatSize(DATASTORE_FLOOR + moved)} must be free on the datastore ${datastore} while it becomes smaller`;
  throw new RdcError(
    'NO_SPACE',
    `repository "${name}" cannot become smaller: ${needed}, ${formatSize(rootBytes)} are`,
    {
      hint: 'rdc machine status   (then free some space there)',
    },
  );
}

/** Whether a journal could need more than there is: only then is it worth a look at it. */
export function mayLackReplayRoom({ rootBytes }: Room): boolean {
  return rootBytes < DATASTORE_FLOOR + LARGEST_JOURNAL;
}

/**
 * Before a filesystem that was not closed is mounted or checked. Its journal is then written to where it belongs, which in a
 * sparse image may be new blocks: where these are refused, what had been acknowledged is lost. Throws NO_SPACE.
 */
export function refuseReplayWithoutRoom({ name, datastore }: Lain, { rootBytes }: Room, filesystem: Ext4): void {
  const neededBytes = DATASTORE_FLOOR + filesystem.journalBytes;
  if (!filesystem.needsRecovery || rootBytes >= neededBytes) return;
  const needed = `${formatSize(neededBytes)} must be free on the datastore ${datastore} to recover it`;
  throw new RdcError(
    'NO_SPACE',
    `the filesystem of repository "${name}" was not closed, and ${needed}: ${formatSize(rootBytes)} are`,
    { hint: 'rdc machine status   (then free some space there; the repository is left as it is)' },
  );
}
