// The transient units in which a run calls functions (lifecycle/function-call.ts).
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { RunId } from '../protocol/ids.ts';

/** Ends those that still run. Exit code 5: no such unit. The glob is systemctl's own; it matches units that are loaded. */
export async function endFunctions(system: System, run: RunId): Promise<void> {
  await system.run({ ...command('systemctl', 'stop', `rediacc-function-*-${run}-*`), allow: [1, 5] });
}
