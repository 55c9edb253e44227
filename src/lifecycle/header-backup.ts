// The one backup of an image's LUKS header (SPEC section 4). It is written beside its place, seen to open, on the disk, and
// only then takes the place of the older one: whatever is cut off, a whole backup is there. Builders only.
import type { Secret } from '../protocol/secret.ts';
import { type Command, command } from './command.ts';
import { luksHeaderBackup, luksTestKey } from './luks.ts';
import type { Action } from './step.ts';
import { remove, run } from './step.ts';
import type { RepoPaths } from './target.ts';

/** What a backup is called until it is whole. One that was cut off opens nothing that matters and is written over. */
export function headerBackupDraft({ headerBackup }: Pick<RepoPaths, 'headerBackup'>): string {
  return `${headerBackup}.new`;
}

/**
 * Whether the backup holds the image's header byte for byte, key slots included, as luksHeaderBackup leaves it: exit 0; 1 where
 * it holds another one; 2 where one of the two is not there or cannot be read (cmp(1)).
 */
export function compareHeaderBackup(
  { image, headerBackup }: Pick<RepoPaths, 'image' | 'headerBackup'>,
  headerBytes: number,
): Command {
  return command('cmp', '--silent', `--bytes=${headerBytes}`, headerBackup, image);
}

/**
 * `proof` must open the image; that it opens by the backup too shows that header, key slot and digest are whole in it. An older
 * backup, which a removed key would still open, is gone when these have been carried out.
 */
export function headerBackupActions(paths: Pick<RepoPaths, 'image' | 'headerBackup'>, proof: Secret): Action[] {
  const { image, headerBackup } = paths;
  const draft = headerBackupDraft(paths);
  return [
    // cryptsetup refuses to write over a file.
    remove(draft),
    run(luksHeaderBackup(image, draft)),
    run({ ...luksTestKey(image, proof, { header: draft }), allow: [] }),
    run(command('sync', draft)),
    run(command('mv', '--no-target-directory', draft, headerBackup)),
    run(command('sync', headerBackup.slice(0, headerBackup.lastIndexOf('/')))),
  ];
}
