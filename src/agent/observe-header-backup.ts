// What the backup of an image's LUKS header is worth: whether it holds that header, and if not, whether it is one of the same data.
import { compareHeaderBackup } from '../lifecycle/header-backup.ts';
import { luksMetadata } from '../lifecycle/luks.ts';
import { dataDigest, headerAndAreasBytes } from '../lifecycle/luks-metadata.ts';
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

export type HeaderFault = Exclude<BackupState, 'current'>;

interface Words {
  what(name: string): string;
  fix(name: string): string;
  /** Its header may not be that of the open volume: what mends it works on a closed one. */
  needsClosing?: true;
}

const mount = (name: string) => `rdc repo mount ${name}, with its credential`;

const FAULTS: Record<HeaderFault, Words> = {
  missing: { what: (name) => `there is no backup of the LUKS header of "${name}"`, fix: mount },
  stale: { what: (name) => `the backup of the LUKS header of "${name}" is of an earlier state of it`, fix: mount },
  foreign: {
    what: (name) => `the LUKS header of "${name}" and its backup do not belong together`,
    // It tries which of the two opens the data; the mount makes the other one anew.
    fix: (name) => `rdc repo restore-header ${name}, then ${mount(name)}`,
    needsClosing: true,
  },
  'no-header': {
    what: (name) => `the LUKS header of "${name}" is damaged`,
    fix: (name) => `rdc repo restore-header ${name}`,
    needsClosing: true,
  },
};

/** No command that is named destroys the last header of the data. */
export function describeHeaderFault(found: HeaderFault, name: string, isOpen: boolean): { what: string; fix: string } {
  const { what, fix, needsClosing } = FAULTS[found];
  const closing = isOpen && needsClosing ? `rdc repo down ${name} --unmount, then ` : '';
  return { what: what(name), fix: `${closing}${fix(name)}` };
}
