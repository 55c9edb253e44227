// A backup of a LUKS header that is lost, or that was not told of a change by a person's own cryptsetup: whoever opens the
// repository with its credential makes it anew, and says so. What may be the last header that opens the data is kept.
import { messageOf } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import type { RunContext } from './handlers.ts';
import { opens, renewHeaderBackup } from './key-slots.ts';
import { describeHeaderFault, type HeaderFault, observeHeaderBackup } from './observe-header-backup.ts';
import type { Opening } from './open-volume.ts';
import type { Workbench } from './repo-workbench.ts';

const WAS: Record<HeaderFault, string> = {
  missing: 'was missing',
  stale: 'was of an earlier state of it',
  foreign: 'did not belong to it',
  'no-header': 'could not be compared',
};

/**
 * Of a mounted volume. By a header that this run has opened, data was read; one that has come since, as by a luksFormat over an
 * open volume, may be of none, and takes the place of no backup that may be. One that cannot be made is told, and keeps nobody's
 * services down.
 */
export async function repairHeaderBackup(
  { record: { name }, target }: Workbench,
  { system, report, signal }: RunContext,
  credential: Secret,
  { wasOpen }: Pick<Opening, 'wasOpen'>,
): Promise<void> {
  const backup = `the backup of the LUKS header of "${name}"`;
  try {
    const found = await observeHeaderBackup(system, target.paths);
    if (found === 'current') return;
    if (wasOpen && (found === 'foreign' || found === 'no-header')) {
      const { what, fix } = describeHeaderFault(found, name, true);
      report({ kind: 'warning', message: what, hint: fix });
    } else if (await opens(system, target, credential)) {
      await renewHeaderBackup(system, target, credential);
      report({ kind: 'warning', message: `${backup} ${WAS[found]} and was renewed` });
    } else {
      const { fix } = describeHeaderFault('no-header', name, true);
      const message = `the LUKS header of "${name}" opens by its credential no more; ${backup} is kept`;
      report({ kind: 'warning', message, hint: fix });
    }
  } catch (error) {
    if (signal.aborted) throw error;
    report({
      kind: 'warning',
      message: `${backup} was not renewed: ${messageOf(error)}`,
      hint: `rdc repo mount ${name}`,
    });
  }
}
