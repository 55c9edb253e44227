// What statfs(2) tells of a filesystem, and what of it root can write. Pure.
import { levelOf, type SpaceReport } from '../protocol/space.ts';

export interface Space {
  totalBytes: number;
  usedBytes: number;
  /** To everybody: f_bavail. */
  freeBytes: number;
  /** To root: the agent, every docker daemon, and the kernel that writes into an image. */
  rootBytes: number;
  /** Both 0 where the filesystem makes inodes as it needs them. */
  totalInodes: number;
  freeInodes: number;
}

/** Of statfs(2). */
export interface Statfs {
  type: number;
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
}

/** EXT4_SUPER_MAGIC (statfs(2)); ext2 and ext3 have it too. */
const EXT4 = 0xef53;
/** What ext4 gives to nobody, so that its own metadata always finds a place: ext4_calculate_resv_clusters() in the kernel. */
const KEPT_SHARE = 50;
const MOST_KEPT_BLOCKS = 4096;

export function spaceOf({ type, bsize, blocks, bfree, bavail, files, ffree }: Statfs): Space {
  const kept = Math.min(Math.floor(blocks / KEPT_SHARE), MOST_KEPT_BLOCKS);
  const toRoot = type === EXT4 ? Math.max(bavail, bfree - kept) : bavail;
  return {
    totalBytes: blocks * bsize,
    usedBytes: (blocks - bfree) * bsize,
    freeBytes: bavail * bsize,
    rootBytes: toRoot * bsize,
    totalInodes: files,
    freeInodes: ffree,
  };
}

export function reportSpace({ totalBytes, usedBytes, freeBytes, totalInodes, freeInodes }: Space): SpaceReport {
  const ofBytes = percent(usedBytes, usedBytes + freeBytes);
  const usedPercent = Math.max(ofBytes, percent(totalInodes - freeInodes, totalInodes));
  const inodes = totalInodes === 0 ? {} : { totalInodes, freeInodes };
  return { totalBytes, usedBytes, freeBytes, ...inodes, usedPercent, level: levelOf(usedPercent) };
}

/** As df(1) rounds it. */
function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.ceil((part / whole) * 100);
}
