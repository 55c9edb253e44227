// LUKS headers and the backups of them, as doctor tells it.
import type { System } from '../lifecycle/system.ts';
import { messageOf } from '../protocol/errors.ts';
import type { Check } from '../protocol/operations.ts';
import type { OpenRepo } from './doctor-repositories.ts';
import { repoPaths } from './layout.ts';
import { lockOwners } from './lock-owner.ts';
import { describeHeaderFault, observeHeaderBackup } from './observe-header-backup.ts';

/** A command may be about to change the header: what is locked is not judged. */
export async function examineHeaders(
  system: System,
  datastore: string,
  repos: readonly OpenRepo[],
  lockDir: string,
): Promise<Check[]> {
  const about = { id: 'luks-headers', title: 'LUKS headers' };
  const faults: Check[] = [];
  for (const repo of repos) {
    if ((await lockOwners(lockDir, repo.guid)).length > 0) continue;
    const fault = await judge(system, datastore, repo);
    if (fault !== undefined) faults.push({ ...about, status: 'failed', ...fault });
  }
  return faults.length > 0 ? faults : [{ ...about, status: 'ok', found: 'of each there is a backup' }];
}

/** An image that is gone has no header: its repository is broken, which is told as such. */
async function judge(
  system: System,
  datastore: string,
  { name, guid, state }: OpenRepo,
): Promise<Pick<Check, 'found' | 'fix'> | undefined> {
  const paths = repoPaths(datastore, guid);
  if ((await system.stat(paths.image))?.kind !== 'file') return undefined;
  try {
    const found = await observeHeaderBackup(system, paths);
    if (found === 'current') return undefined;
    const { what, fix } = describeHeaderFault(found, name, state !== 'closed');
    return { found: what, fix };
  } catch (error) {
    return { found: `the LUKS header of "${name}" was not compared: ${messageOf(error)}`, fix: 'journalctl --dmesg' };
  }
}
