// How a command on a repository tells its end: one sentence, or what a dry run would do, or the document of --json.

import type { CommandEnd } from './command.ts';
import type { CommandContext } from './context.ts';
import { describePlan } from './plan-text.ts';
import { sayDone } from './render.ts';
import type { RunEnd } from './run-end.ts';
import type { MachineTarget } from './target.ts';

export interface EndWords {
  /** Something changed: 'repository "shop" is open on "prod"'. */
  done: string;
  /** Nothing had to: 'repository "shop" is open'. */
  already: string;
}

interface Changed {
  changed: boolean;
  failed?: readonly { where: string; reason: string }[];
}

/** PARTIAL where functions failed without stopping the run. */
export function showEnd<O extends Changed>(
  command: CommandContext,
  machine: MachineTarget,
  end: RunEnd<O>,
  words: EndWords,
): CommandEnd {
  const { io } = command;
  const { run, outcome, output, warnings } = end;
  if (showUnfinished(command, machine, end)) return undefined;
  io.printJson({ machine: machine.name, run, outcome, ...output, warnings });
  if (outcome === 'partial') {
    const failed = (output?.failed ?? []).map(({ where, reason }) => `${where} (${reason})`);
    const what = failed.length === 0 ? '' : `: ${failed.join(', ')} failed`;
    io.warn(`${words.done}, but only partly${what}`, `rdc run logs ${run} -m ${machine.name}`);
    return 'PARTIAL';
  }
  if (output?.changed === false) io.say(`= already: ${words.already}`);
  else sayDone(io, false, words.done);
  return undefined;
}

/** A run that was only planned, or goes on without us: true, and shown. */
export function showUnfinished(
  { io }: CommandContext,
  machine: MachineTarget,
  end: RunEnd<unknown>,
  more: Record<string, unknown> = {},
): boolean {
  const { run, outcome, plan } = end;
  if (outcome === 'planned') {
    io.print(describePlan(plan, { actions: io.verbose, paint: io.paintOut }));
    io.printJson({ machine: machine.name, dryRun: true, ...more, plan });
    return true;
  }
  if (outcome !== 'detached') return false;
  io.print(run);
  io.say(`started on "${machine.name}"; follow it: rdc run attach ${run} -m ${machine.name}`);
  io.printJson({ machine: machine.name, run, outcome, ...more });
  return true;
}
