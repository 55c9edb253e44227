// What the backup of an image's LUKS header is worth: whether it holds that header, and if not, whether it is one of the same data.
import { compareHeaderBackup } from '../lifecycle/header-backup.ts';
import { dataDigest, headerAndAreasBytes, luksMetadata } from '../lifecycle/luks.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoPaths } from '../lifecycle/target.ts';

/**
 * - `current`: the header of the image, byte for byte.
 * - `stale`: a header of the same data, from before a change: a key that was removed since may open by it.
 * - `foreign`: none of this header's data: cut short, damaged, or one of the two was made anew.
 * - `missing`
 * - `no-header`: the image itself has none, or a damaged one.
 */
export type BackupState = 'current' | 'stale' | 'foreign' | 'missing' | 'no-header';

/** Changes nothing. Throws COMMAND_FAILED where one of the two cannot be read. */
export async function observeHeaderBackup(
  system: System,
  paths: Pick<RepoPaths, 'image' | 'headerBackup'>,
): Promise<BackupState> {
  const header = await system.run({ ...luksMetadata(paths.image), allow: [1, 4] });
  if (header.exitCode !== 0) return 'no-header';
  const backup = await system.stat(paths.headerBackup);
  if (backup?.kind !== 'file') return 'missing';
  const bytes = headerAndAreasBytes(header.stdout);
  if (backup.sizeBytes !== bytes) return 'foreign';
  const { exitCode } = await system.run({ ...compareHeaderBackup(paths, bytes), allow: [1] });
  if (exitCode === 0) return 'current';
  const saved = await system.run({ ...luksMetadata(paths.headerBackup), allow: [1, 4] });
  const isOfSameData = saved.exitCode === 0 && dataDigest(saved.stdout) === dataDigest(header.stdout);
  return isOfSameData ? 'stale' : 'foreign';
}

/** What of a header is wrong where it and its backup are not of the same data. */
export type HeaderFault = Exclude<BackupState, 'current' | 'stale'>;

const FAULTS: Record<HeaderFault, (name: string) => string> = {
  missing: (name) => `there is no backup of the LUKS header of "${name}"`,
  foreign: (name) => `the LUKS header of "${name}" and its backup do not belong together`,
  'no-header': (name) => `the LUKS header of "${name}" is damaged`,
};

const MENDS: Record<HeaderFault, (name: string) => string> = {
  missing: (name) => `rdc repo mount ${name}`,
  // It tries which of the two opens the data; the mount makes the other one anew.
  foreign: (name) => `rdc repo restore-header ${name}, then rdc repo mount ${name}`,
  'no-header': (name) => `rdc repo restore-header ${name}`,
};

/** No command that is named destroys the last header of the data. */
export function describeHeaderFault(found: HeaderFault, name: string, isOpen: boolean): { what: string; fix: string } {
  const mend = MENDS[found](name);
  return { what: FAULTS[found](name), fix: isOpen ? `rdc repo down ${name} --unmount, then ${mend}` : mend };
}
