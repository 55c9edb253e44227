// The transient units in which a run calls functions (lifecycle/function-call.ts).
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { RunId } from '../protocol/ids.ts';

/** Runs of systemd's own begin with it, in the place of a time. */
export const UNIT_RUN = '000000000000-';

/** Ends those that still run. Exit code 5: no such unit. The glob is systemctl's own; it matches units that are loaded. */
export async function endFunctions(system: System, run: RunId): Promise<void> {
  await system.run({ ...command('systemctl', 'stop', `rediacc-function-*-${run}-*`), allow: [1, 5] });
}

/** Runs of which there are any, but those of systemd's own `down` (unit-command.ts), which belong to no daemon. */
export async function functionRuns(system: System): Promise<RunId[]> {
  const list = command('systemctl', 'list-units', '--all', '--plain', '--no-legend', 'rediacc-function-*');
  const { stdout } = await system.run(list);
  const runs = [...stdout.matchAll(/^rediacc-function-\S*?([0-9a-f]{12}-[0-9a-f]{8})-/gm)].map(([, run = '']) => run);
  return [...new Set(runs)].filter((run) => !run.startsWith(UNIT_RUN)) as RunId[];
}
