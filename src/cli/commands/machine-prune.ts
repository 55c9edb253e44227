// rdc machine prune: removes what is left over and provably dead. A person sees the list first; scripts say --yes.
import { RdcError } from '../../protocol/errors.ts';
import { machineNameSchema } from '../../protocol/ids.ts';
import type { OutputOf } from '../../protocol/operations.ts';
import type { AgentClient } from '../agent-client.ts';
import { runOperation, withAgent } from '../agent-run.ts';
import { defineCommand, optionalArgument } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { parseWith } from '../parse.ts';
import { describePlan } from '../plan-text.ts';
import { showEnd } from '../repo-end.ts';
import { type MachineTarget, machineTarget } from '../target.ts';
import { machineOption, yes } from './options.ts';

type Output = OutputOf<'machine.prune'>;
type Connection = { client: AgentClient; machine: MachineTarget };

export const machinePrune = defineCommand({
  name: 'machine prune',
  summary: 'remove what crashes and cut-off commands have left on a machine',
  details:
    'Removes mappings, mounts, loop devices, namespaces, units, half-made images and files that are provably ours and dead, ' +
    'each with its proof; --dry-run only lists them. What is not proven to be dead is told, with what to do about it, and ' +
    'left. Never touches a repository that is open or worked on. Ends with 3 where something could not be removed.',
  args: { name: optionalArgument('MACHINE', 'the machine', parseWith(machineNameSchema)) },
  options: { machine: machineOption, yes },
  changes: 'machine',
  async run(command, { name, machine: machineName, yes: sure }) {
    const machine = await machineTarget(command, name ?? machineName);
    return await withAgent(command, machine, async (client) => {
      const connection = { client, machine };
      const only = sure || command.dryRun ? undefined : await agreed(command, connection);
      const end = await runOperation(command, connection, 'machine.prune', { only });
      const count = end.output?.removed.length ?? 0;
      showRemoved(command, end.output);
      return showEnd(command, machine, end, {
        done: `${count} ${count === 1 ? 'thing that was' : 'things that were'} left over on "${machine.name}" removed`,
        already: `nothing on "${machine.name}" is left over and provably dead`,
      });
    });
  },
});

/** What is removed is what was shown, whatever else has come about until then. */
async function agreed(command: CommandContext, connection: Connection): Promise<string[]> {
  const { io, ask } = command;
  const { name } = connection.machine;
  if (!io.canAsk) {
    throw new RdcError('CONFIRMATION_NEEDED', `this removes what is left over on machine "${name}"`, {
      hint: `rdc machine prune ${name} --dry-run, then rdc machine prune ${name} --yes`,
    });
  }
  const look = { ...command, dryRun: true, detach: false };
  const { plan } = await runOperation(look, connection, 'machine.prune', {});
  if (plan.length === 0) return [];
  io.say(describePlan(plan, { actions: io.verbose, paint: io.paintErr }));
  const what = plan.length === 1 ? 'this' : `these ${plan.length} things`;
  if (await ask.confirm(`Remove ${what} from "${name}"?`)) return plan.map(({ id }) => id);
  throw new RdcError('CANCELLED', 'nothing was changed');
}

function showRemoved({ io }: CommandContext, output: Output | undefined): void {
  for (const { kind, what, repo, because } of output?.removed ?? []) {
    io.print(`${kind} ${what}${repo === undefined ? '' : ` of "${repo}"`}: dead because ${because}`);
  }
}
