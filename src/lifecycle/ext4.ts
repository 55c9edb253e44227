// What the superblock of an ext4 filesystem says (dumpe2fs(8)), and the command lines that check and resize one
// (e2fsck(8), resize2fs(8)). Pure.
import { RdcError } from '../protocol/errors.ts';
import type { Command } from './command.ts';
import { command } from './command.ts';
import { exitCodeOf } from './luks.ts';

export interface Ext4 {
  bytes: number;
  blockBytes: number;
  /** Bytes at the end of a device too few for another block group, which resize2fs leaves unused. */
  slackBytes: number;
  /** When e2fsck last found nothing, or mended all; milliseconds since the epoch, in whole seconds. 0: it has known faults. */
  checkedAt: number;
  /** It was not unmounted: a mount or a check replays its journal first. Also of one that is mounted. */
  needsRecovery: boolean;
  journalBytes: number;
}

/** A check reads all metadata, a shrink may move all data: nothing that a clock should end. */
const NO_LIMIT = 7 * 24 * 3600 * 1000;

/** Of a mounted filesystem too: the kernel keeps the superblock where this reads it. */
export function ext4Superblock(device: string): Command {
  return { ...command('dumpe2fs', '-h', device), env: { TZ: 'UTC' } };
}

export function parseExt4(superblock: string): Ext4 {
  const text = (key: string) => new RegExp(`^${key}:\\s*(.*)$`, 'm').exec(superblock)?.[1]?.trim() ?? '';
  const number = (key: string) => Number(text(key) || 0);
  const blockBytes = number('Block size');
  const groups = Math.ceil(number('Block count') / number('Blocks per group'));
  const descriptorBlocks = Math.ceil((groups * (number('Group descriptor size') || 32)) / blockBytes);
  // Two bitmaps, inode tables, superblock, descriptors and room for more of them, and 50 blocks for data (adjust_fs_info of resize2fs).
  const fewest = 3 + number('Inode blocks per group') + descriptorBlocks + number('Reserved GDT blocks') + 50;
  // "Total journal size: 4096k"; e2fsprogs before 1.46: "Journal size: 16M".
  const journal = /^(?:Total j|J)ournal size:\s*(\d+)([kM])$/m.exec(superblock);
  return {
    bytes: number('Block count') * blockBytes,
    blockBytes,
    slackBytes: (fewest + 1) * blockBytes,
    checkedAt: text('Filesystem state') === 'clean' ? Date.parse(`${text('Last checked')} UTC`) : 0,
    needsRecovery: text('Filesystem features').split(/\s+/).includes('needs_recovery'),
    journalBytes: Number(journal?.[1] ?? 0) * (journal?.[2] === 'M' ? 1024 ** 2 : 1024),
  };
}

/** As large as resize2fs makes it on a device of so many bytes. */
export function fills({ bytes, slackBytes }: Ext4, deviceBytes: number): boolean {
  return bytes <= deviceBytes && deviceBytes - bytes < slackBytes;
}

/** Mends what needs no decision. Exit code 1: it has mended something; 4: a person has to decide (e2fsck(8)). */
export function checkExt4(device: string): Command {
  return { ...command('e2fsck', '-f', '-p', device), allow: [1], timeoutMs: NO_LIMIT };
}

export function explainCheckFailure(error: unknown, name: string, image: string): unknown {
  const exitCode = exitCodeOf(error);
  // Killed or cancelled, it has found nothing.
  if (exitCode === undefined || exitCode > 128) return error;
  return new RdcError('VOLUME_DAMAGED', `the filesystem of repository "${name}" has faults that need a decision`, {
    hint: `on the server: cryptsetup open ${image} check && e2fsck -f /dev/mapper/check; cryptsetup close check`,
    cause: error,
  });
}

/** To the size of its device. Legal on a mounted one, which the kernel then grows by itself. */
export function growExt4(device: string): Command {
  return { ...command('resize2fs', device), timeoutMs: NO_LIMIT };
}

/**
 * Unmounted, to a size of its own. A unit of its own: whoever cancels the run, stops the agent or shuts the machine down in
 * the middle must not end it between moving a block and noting where it is.
 */
export function resizeExt4Apart(device: string, bytes: number, unit: string): Command {
  const properties = ['Description=resize of a filesystem', 'KillSignal=SIGCONT', 'TimeoutStopSec=30min'];
  const apart = ['--quiet', '--wait', '--collect', '--pipe', `--unit=${unit}`];
  const kept = properties.flatMap((property) => ['--property', property]);
  return {
    ...command('systemd-run', ...apart, ...kept, '--', 'resize2fs', device, `${Math.floor(bytes / 512)}s`),
    timeoutMs: NO_LIMIT,
  };
}

export function smallestExt4(device: string): Command {
  return { ...command('resize2fs', '-P', device), timeoutMs: NO_LIMIT };
}

/** In blocks. */
export function parseSmallest(stdout: string): number {
  const found = /minimum size of the filesystem: (\d+)/.exec(stdout)?.[1];
  if (found === undefined) throw new RdcError('COMMAND_FAILED', 'resize2fs did not tell the smallest size');
  return Number(found);
}
