// rdc machine doctor: whether a machine is as its repositories need it.
import { machineNameSchema } from '../../protocol/ids.ts';
import { call, withAgent } from '../agent-run.ts';
import { renderChecks } from '../check-text.ts';
import { defineCommand, optionalArgument } from '../command.ts';
import { parseWith } from '../parse.ts';
import { machineTarget } from '../target.ts';
import { machineOption } from './options.ts';

export const machineDoctor = defineCommand({
  name: 'machine doctor',
  summary: 'check whether a machine is as its repositories need it',
  details:
    'Looks at the agent, the datastore, the guard, firewalls and name servers of the host, and at what is left over, ' +
    'and says for each what to do about it. Changes nothing. Ends with 1 where something is wrong.',
  args: { name: optionalArgument('MACHINE', 'the machine', parseWith(machineNameSchema)) },
  options: { machine: machineOption },
  changes: 'nothing',
  async run(command, { name, machine }) {
    const { io } = command;
    const target = await machineTarget(command, name ?? machine);
    const answer = await withAgent(command, target, (client) => call(command, client, 'machine.doctor', {}));
    const checks = answer.checks.map((check) =>
      check.fix === undefined ? check : { ...check, fix: check.fix.replaceAll('MACHINE', target.name) },
    );
    const healthy = checks.every(({ status }) => status === 'ok' || status === 'warning');
    io.printJson({ machine: target.name, healthy, checks });
    if (!io.json) io.print(renderChecks(checks, io.paintOut));
    return healthy ? undefined : 'FAILED';
  },
});
