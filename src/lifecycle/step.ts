// A plan is data: an ordered list of steps over facts. It can be printed, table-tested and run.
// Steps are pure; only run-plan.ts acts.
import type { Command } from './command.ts';
import { describeCommand } from './command.ts';

export type Action =
  | { kind: 'run'; command: Command }
  | { kind: 'write'; path: string; text: string; mode: number }
  | { kind: 'remove'; path: string }
  | { kind: 'makeDirectory'; path: string; mode: number };

export interface Step<Facts> {
  /** Stable: area.verb, e.g. "volume.open". */
  id: string;
  /** "open the encrypted volume" */
  title: string;
  /** The one predicate that is both check and verification. */
  isDone(facts: Facts): boolean;
  /** Said when there is nothing to do: "the volume is open". */
  already: string;
  /** Must be legal to repeat after a crash at any point in it. */
  actions(facts: Facts): Action[];
  /** How long reality may take to agree after the actions, in milliseconds. Default 0: at once. */
  settleMs?: number;
  /** Refuses with an RdcError where acting would be wrong whatever the actions. Runs before isDone. */
  guard?(facts: Facts): void;
  /** Makes a better error of a failed action, e.g. WRONG_CREDENTIAL of cryptsetup's exit code 2. */
  explain?(error: unknown, facts: Facts): unknown;
  /** The unit that it starts: where that fails, the unit's own last words make the error. */
  startsUnit?: string;
  /** Undoes what this step's actions may have begun, when they fail. Best effort, in order. */
  undo?(facts: Facts): Action[];
  /** It changes what systemd reads units from: whether it has read them is asked again afterwards. */
  changesUnitFiles?: boolean;
  /** A dry run cannot tell before an earlier step has run. */
  unknowable?: boolean;
}

export const run = (command: Command): Action => ({ kind: 'run', command });
export const write = (path: string, text: string, mode: number): Action => ({ kind: 'write', path, text, mode });
export const remove = (path: string): Action => ({ kind: 'remove', path });
export const makeDirectory = (path: string, mode: number): Action => ({ kind: 'makeDirectory', path, mode });

/** One line for people; contents and stdin are not part of it. */
export function describeAction(action: Action): string {
  switch (action.kind) {
    case 'run':
      return describeCommand(action.command);
    case 'write':
      return `write ${action.path} (mode ${action.mode.toString(8).padStart(4, '0')})`;
    case 'remove':
      return `remove ${action.path}`;
    case 'makeDirectory':
      return `make directory ${action.path}`;
  }
}
