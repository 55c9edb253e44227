// A backup of a LUKS header that is lost, or that was not told of a change by a person's own cryptsetup: whoever opens the
// repository with its credential makes it anew, and says so.
import { messageOf } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import type { RunContext } from './handlers.ts';
import { observeHeaderBackup, renewHeaderBackup } from './key-slots.ts';
import type { Workbench } from './repo-workbench.ts';

/** Only of a mounted volume: by this header its data was read. A backup that cannot be made is told, and keeps nobody's services down. */
export async function repairHeaderBackup(
  { record: { name }, target }: Workbench,
  { system, report }: RunContext,
  credential: Secret,
): Promise<void> {
  const of = `the backup of the LUKS header of "${name}"`;
  try {
    const found = await observeHeaderBackup(system, target.paths);
    if (found === 'current') return;
    await renewHeaderBackup(system, target, credential);
    const was = found === 'missing' ? 'was missing' : 'was of another state of it';
    report({ kind: 'warning', message: `${of} ${was} and was renewed` });
  } catch (error) {
    const message = `${of} is missing or of another state of it, and was not renewed: ${messageOf(error)}`;
    report({ kind: 'warning', message, hint: `rdc repo mount ${name}` });
  }
}
