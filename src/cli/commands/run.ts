// rdc run list, attach, cancel, logs: the runs of a machine, which go on whether somebody watches or not.

import { formatDuration } from '../../protocol/duration.ts';
import type { JournalEvent } from '../../protocol/events.ts';
import { runIdSchema } from '../../protocol/ids.ts';
import { OPERATIONS, type RunSummary } from '../../protocol/operations.ts';
import { call, followRun, withAgent } from '../agent-run.ts';
import { argument, defineCommand, flag, option } from '../command.ts';
import { untilInterrupted } from '../interrupt.ts';
import { cleanLine, type Io } from '../io.ts';
import { createOutputLines, type SourcedLine } from '../output-lines.ts';
import { parseValue, parseWith } from '../parse.ts';
import { paintState, renderTable, renderTime } from '../render.ts';
import { interrupted, leftAlone } from '../run-end.ts';
import { describeStep } from '../step-text.ts';
import { machineTarget } from '../target.ts';
import { showRun, type View, type Watched } from '../watch-run.ts';
import { machineOption } from './options.ts';

const idArgument = argument('ID', 'the run, as "rdc run list" shows it', parseWith(runIdSchema));

const list = defineCommand({
  name: 'run list',
  summary: 'list the runs of a machine, newest first',
  args: {},
  options: {
    machine: machineOption,
    limit: option('--limit <number>', 'how many (20)', (text) =>
      parseValue(OPERATIONS['run.list'].input.shape.limit, Number(text)),
    ),
  },
  changes: 'nothing',
  async run(command, { machine, limit = 20 }) {
    const { io } = command;
    const target = await machineTarget(command, machine);
    const { runs } = await withAgent(command, target, (client) => call(command, client, 'run.list', { limit }));
    io.printJson({ machine: target.name, runs });
    if (runs.length === 0) io.say('there is no run yet');
    else if (!io.json) {
      const head = ['RUN', 'STARTED', 'OPERATION', 'REPOSITORY', 'BY', 'OUTCOME', 'TOOK', ''];
      io.print(
        await renderTable(
          head,
          runs.map((run) => row(run, (state) => paintState(state, io.paintOut))),
          io.paintOut,
        ),
      );
    }
    return undefined;
  },
});

function row(summary: RunSummary, paint: (state: string) => string): string[] {
  const { run, startedAt, endedAt, operation, repo = '-', actor, outcome, message = '' } = summary;
  const took = endedAt === undefined ? '' : formatDuration(endedAt - startedAt);
  return [run, renderTime(startedAt), operation, repo, actor, paint(outcome), took, message];
}

const attach = defineCommand({
  name: 'run attach',
  summary: 'follow a run from its start to its end',
  details: "Ends with the run's own exit code. Ctrl-C leaves the run alone.",
  args: { id: idArgument },
  options: { machine: machineOption },
  changes: 'nothing',
  async run(command, { id, machine: machineName }) {
    const machine = await machineTarget(command, machineName);
    const end = await withAgent(command, machine, (client) => followRun(command, { client, machine }, id));
    const { outcome, output, warnings } = end;
    command.io.printJson({ machine: machine.name, run: id, outcome, output, warnings });
    command.io.say(`run ${id}: ${paintState(outcome, command.io.paintErr)}`);
    return outcome === 'partial' ? 'PARTIAL' : undefined;
  },
});

const cancel = defineCommand({
  name: 'run cancel',
  summary: 'stop a run and wait until it has stopped',
  args: { id: idArgument },
  options: { machine: machineOption },
  changes: 'nothing',
  async run(command, { id, machine: machineName }) {
    const { io } = command;
    const machine = await machineTarget(command, machineName);
    // Asked again over another connection, since nobody knows whether the first request arrived.
    const start: Watched<unknown>['start'] = async (client, follower) => {
      await client.cancel(id);
      return await client.follow(id, 0, follower);
    };
    const view = { event: () => undefined, step: linkSteps(io) };
    const result = await withAgent(command, machine, (client) =>
      showRun(command, { client, machine }, { start }, view),
    );
    if (result === undefined) throw interrupted();
    const { outcome } = result;
    if (outcome === 'cancelled') io.say(`${io.paintErr.green('✓')} run ${id} cancelled`);
    else io.say(`= already: run ${id} had ended (${outcome})`);
    io.printJson({ machine: machine.name, run: id, outcome, changed: outcome === 'cancelled' });
    return undefined;
  },
});

const logs = defineCommand({
  name: 'run logs',
  summary: 'print what a run did and said',
  details: 'The exit code says nothing about how the run ended.',
  args: { id: idArgument },
  options: { follow: flag('-f, --follow', 'go on to the end of a run that goes on'), machine: machineOption },
  changes: 'nothing',
  async run(command, { id, follow, machine: machineName }) {
    const { io, signal } = command;
    const machine = await machineTarget(command, machineName);
    const events: JournalEvent[] = [];
    const printer = createLogPrinter(io);
    const onEvent = (event: JournalEvent) => {
      if (io.json) events.push(event);
      else printer.event(event);
    };
    const start: Watched<unknown>['start'] = (client, follower) => client.follow(id, 0, follower);
    const view = { event: onEvent, step: linkSteps(io) };
    const result = await withAgent(command, machine, (client) =>
      follow
        ? showRun(command, { client, machine }, { start, run: id }, view)
        : untilInterrupted(signal, client.follow(id, 0, { onEvent }, false)),
    );
    printer.end();
    if (result === undefined) throw follow ? leftAlone(machine, id) : interrupted();
    if (result.error !== undefined) io.print(`${result.outcome}: ${result.error.message}`);
    else io.print(result.outcome);
    if (result.outcome === 'running') io.say(`it goes on; follow it: rdc run attach ${id} -m ${machine.name}`);
    io.printJson({ machine: machine.name, ...result, events });
    return undefined;
  },
});

/** Only that a link has to be made anew. */
function linkSteps(io: Io): View['step'] {
  return ({ title, state }) => (state === 'start' ? io.say(`${title} …`) : undefined);
}

/** With the server's time; a line of output has that of its end. */
function createLogPrinter(io: Io) {
  const lines = createOutputLines();
  let time = '';
  const print = ({ source, text }: SourcedLine) =>
    io.print(`${time} ${source} | ${cleanLine(text, io.paintOut.isColorSupported)}`);
  const end = (source?: string) => {
    for (const line of lines.rest(source)) print(line);
  };
  const event = ({ at, event }: JournalEvent) => {
    time = renderTime(at).slice(11);
    if (event.kind === 'output') {
      const line = lines.take(event);
      if (line !== undefined) print(line);
    } else if (event.kind === 'warning') io.print(`${time} warning: ${event.message}`);
    else if (event.kind === 'step' && event.state !== 'start') {
      end(event.title);
      io.print(`${time} ${describeStep(event)}`);
    }
  };
  return { event, end };
}

export const RUN_COMMANDS = [list, attach, cancel, logs];
