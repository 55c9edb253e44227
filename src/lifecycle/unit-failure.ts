// Why a unit did not start, in the words of its own program: systemctl only says that it failed.
import { RdcError } from '../protocol/errors.ts';
import { command } from './command.ts';
import type { System } from './system.ts';

/** Last words of the program, from the journal of this boot (journalctl(1)); `error` is the cause where it said nothing. */
export async function explainUnitFailure(
  system: System,
  unit: string,
  title: string,
  error: unknown,
): Promise<RdcError> {
  const { stdout } = await system.run({
    ...command('journalctl', '--boot', '--no-pager', '--output=cat', '--lines=20', `_SYSTEMD_UNIT=${unit}`),
    allow: [1],
  });
  const lines = stdout.split('\n').filter((line) => line.trim() !== '');
  const last = lines.at(-1);
  if (last === undefined) return asError(error, unit, title);
  return new RdcError('FAILED', `could not ${title}: ${last.slice(0, 500)}`, {
    hint: `on the server: journalctl -u ${unit}`,
    cause: lines.join('\n'),
  });
}

function asError(error: unknown, unit: string, title: string): RdcError {
  return new RdcError('FAILED', `could not ${title}`, { hint: `on the server: journalctl -u ${unit}`, cause: error });
}
