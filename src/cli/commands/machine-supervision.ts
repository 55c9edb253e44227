// rdc machine supervision: what a machine's supervisor may do, and whom it tells.
import { RdcError } from '../../protocol/errors.ts';
import { machineNameSchema } from '../../protocol/ids.ts';
import { OPERATIONS, type RequestOf } from '../../protocol/operations.ts';
import { type SupervisionSettings, supervisionSettingsSchema } from '../../protocol/supervision.ts';
import { call, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand, flag, option, optionalArgument } from '../command.ts';
import type { Paint } from '../io.ts';
import { parseValue, parseWith } from '../parse.ts';
import { renderFacts } from '../render.ts';
import { showEnd } from '../repo-end.ts';
import { machineTarget } from '../target.ts';
import { machineOption } from './options.ts';
import { superviseAll } from './supervise-all.ts';

const fields = OPERATIONS['machine.set-supervision'].input.shape;

export const machineSupervision = defineCommand({
  name: 'machine supervision',
  summary: 'show or set what a machine does about trouble by itself, and whom it tells',
  details:
    'The notify command is a line for /bin/sh that root runs on the machine, with each event as JSON on its standard ' +
    'input, also when no workstation is connected. It may take a minute. A token belongs in a script there, not in the line, which every user of the machine can see while it runs. Without options the settings are shown; what was ' +
    'done is in "rdc machine status".',
  args: { name: optionalArgument('MACHINE', 'the machine', parseWith(machineNameSchema)) },
  options: {
    on: flag('--on', 'watch and mend again'),
    off: flag(
      '--off',
      'leave everything as it is, e.g. while you work on the firewall; systemd still starts dead daemons',
    ),
    notifyCommand: option(
      '--notify-command <command>',
      'run this on the machine for every event, e.g. "curl -fsS --data-binary @- https://alerts.example"; none: nothing',
      (text) => parseValue(fields.notifyCommand, text === 'none' ? null : text),
    ),
    restarts: option(
      '--restarts <number>',
      'how often an unhealthy container is restarted before it is given up (5); 0: never',
      (text) => parseValue(fields.restarts, parseCount(text)),
    ),
    allMachines: flag(
      '--all-machines',
      'set it on every machine of the context; the notify command also on those that are set up later',
    ),
    machine: machineOption,
  },
  changes: 'machine',
  async run(command, { name, on, off, notifyCommand, restarts, allMachines, machine: machineName }) {
    const { io } = command;
    if (on && off) throw new RdcError('INVALID_INPUT', '--on and --off contradict each other');
    const enabled = on || off ? on : undefined;
    const input: RequestOf<'machine.set-supervision'> = { enabled, notifyCommand, restarts };
    const isQuestion = Object.values(input).every((value) => value === undefined);
    if (allMachines) {
      if (name !== undefined || machineName !== undefined || isQuestion) {
        const message = '--all-machines sets something on every machine: say what, and name no machine';
        throw new RdcError('USAGE', message, {
          hint: 'rdc machine supervision --all-machines --notify-command COMMAND',
        });
      }
      return await superviseAll(command, input);
    }
    const machine = await machineTarget(command, name ?? machineName);
    return await withAgent(command, machine, async (client) => {
      if (isQuestion) {
        const { supervision } = await call(command, client, 'machine.status', {});
        const settings = supervisionSettingsSchema.parse(supervision);
        io.printJson({ machine: machine.name, ...settings });
        if (!io.json) io.print(renderSettings(settings, io.paintOut));
        return undefined;
      }
      const end = await runOperation(command, { client, machine }, 'machine.set-supervision', input);
      const words = `supervision of machine "${machine.name}" is set`;
      return showEnd(command, machine, end, { done: words, already: words });
    });
  },
});

function parseCount(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new RdcError('INVALID_INPUT', `"${text}" is not a number of restarts`, { hint: 'e.g. 5, or 0 for none' });
}

function renderSettings({ enabled, notifyCommand, restarts }: SupervisionSettings, paint: Paint): string {
  return renderFacts(
    [
      ['supervision', enabled ? 'on' : 'off'],
      ['notify command', notifyCommand ?? 'none'],
      ['restarts of an unhealthy container', restarts === 0 ? 'none' : `at most ${restarts}`],
    ],
    paint,
  );
}
