// rdc repo up-all and down-all: every repository of a machine in one go, planned and limited on the machine.
import { formatDuration } from '../../protocol/duration.ts';
import type { Guid } from '../../protocol/ids.ts';
import { OPERATIONS, type OutputOf } from '../../protocol/operations.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { AgentClient } from '../agent-client.ts';
import { runOperation, withAgent } from '../agent-run.ts';
import { type CommandEnd, defineCommand, flag, option } from '../command.ts';
import type { RepositoryRecord } from '../config-file.ts';
import type { CommandContext } from '../context.ts';
import { storedCredential } from '../credential-source.ts';
import type { Paint } from '../io.ts';
import { parseValue } from '../parse.ts';
import { paintState, renderTable, sayDone } from '../render.ts';
import { showUnfinished } from '../repo-end.ts';
import type { RunEnd } from '../run-end.ts';
import { currentPlace, type MachineTarget, machineTarget } from '../target.ts';
import { machineOption, timeoutOption } from './options.ts';

/** With --parallel and without --concurrency. */
const CONCURRENCY = 3;

const parallel = flag('--parallel', `several repositories at the same time: ${CONCURRENCY}, or --concurrency`);
const concurrency = option('--concurrency <n>', 'how many at the same time; implies --parallel', (text) =>
  parseValue(OPERATIONS['repo.up-all'].input.shape.concurrency, Number(text)),
);

const upAll = defineCommand({
  name: 'repo up-all',
  summary: 'start the services of all repositories of a machine',
  details:
    'Opens and starts every repository that is not up, one after the other or several at the same time. What fails does not ' +
    'stop the others; the exit code is then 3, or 1 if none could be started. A repository without a known credential is skipped.',
  args: {},
  options: {
    machine: machineOption,
    includeForks: flag('--include-forks', 'forks as well'),
    mountOnly: flag('--mount-only', 'open the volumes only, start nothing'),
    parallel,
    concurrency,
    timeout: timeoutOption,
  },
  changes: 'machine',
  async run(command, { machine: machineName, timeout, ...wanted }) {
    const machine = await machineTarget(command, machineName);
    return await withAgent(command, machine, async (client) => {
      const end = await runOperation(command, { client, machine }, 'repo.up-all', {
        credentials: await credentialsOn(command, client, machine),
        ...{ includeForks: wanted.includeForks, mountOnly: wanted.mountOnly },
        ...{ concurrency: howMany(wanted), waitMs: command.waitMs, timeoutMs: timeout },
      });
      return await showAll(command, machine, end, wanted.mountOnly ? 'open' : 'up');
    });
  },
});

const downAll = defineCommand({
  name: 'repo down-all',
  summary: 'stop the services of all repositories of a machine',
  details: 'Forks as well. What fails does not stop the others; the exit code is then 3, or 1 if all failed.',
  args: {},
  options: {
    machine: machineOption,
    unmount: flag('--unmount', 'also stop the docker daemons and close the volumes'),
    parallel,
    concurrency,
    timeout: timeoutOption,
  },
  changes: 'machine',
  async run(command, { machine: machineName, timeout, unmount, ...wanted }) {
    const machine = await machineTarget(command, machineName);
    return await withAgent(command, machine, async (client) => {
      const input = { unmount, concurrency: howMany(wanted), waitMs: command.waitMs, timeoutMs: timeout };
      const end = await runOperation(command, { client, machine }, 'repo.down-all', input);
      return await showAll(command, machine, end, unmount ? 'closed' : 'down');
    });
  },
});

function howMany(wanted: { parallel: boolean; concurrency: number | undefined }): number {
  return wanted.concurrency ?? (wanted.parallel ? CONCURRENCY : 1);
}

/** Of the repositories that are recorded on this machine, so that no machine is given what opens another's. */
async function credentialsOn(
  command: CommandContext,
  client: AgentClient,
  machine: MachineTarget,
): Promise<Record<Guid, Secret>> {
  const { context } = await currentPlace(command);
  const records = Object.entries(context.repositories) as [Guid, RepositoryRecord][];
  const credentials: Record<Guid, Secret> = {};
  for (const [guid, record] of records) {
    if (record.machine !== machine.name) continue;
    const target = { machine, name: record.name, ref: guid, guid };
    const credential = await storedCredential(command, client, target);
    if (credential !== undefined) credentials[guid] = credential;
  }
  return credentials;
}

type Row = OutputOf<'repo.up-all'>['repositories'][number];

async function showAll(
  command: CommandContext,
  machine: MachineTarget,
  end: RunEnd<OutputOf<'repo.up-all'>>,
  state: string,
): Promise<CommandEnd> {
  const { io } = command;
  const { run, outcome, output, warnings } = end;
  if (showUnfinished(command, machine, end)) return undefined;
  const rows = output?.repositories ?? [];
  io.printJson({ machine: machine.name, run, outcome, repositories: rows, warnings });
  if (rows.length === 0) {
    io.say(`there is no repository on "${machine.name}" yet: rdc repo create NAME --size 10G`);
    return undefined;
  }
  if (!io.json) io.print(await renderRows(rows, io.paintOut));
  const missing = rows.filter(({ result }) => result !== 'done' && result !== 'already');
  if (missing.length === 0) {
    sayDone(io, false, `${counted(rows.length)} on "${machine.name}" ${rows.length === 1 ? 'is' : 'are'} ${state}`);
    return undefined;
  }
  const logs = missing.find((row) => row.run !== undefined)?.run;
  const hint = logs === undefined ? undefined : `rdc run logs ${logs} -m ${machine.name}`;
  io.warn(`${counted(missing.length)} of ${rows.length} on "${machine.name}" not ${state}: ${named(missing)}`, hint);
  return rows.every(({ result }) => result === 'failed' || result === 'skipped') ? 'FAILED' : 'PARTIAL';
}

function counted(count: number): string {
  return count === 1 ? '1 repository' : `${count} repositories`;
}

function named(rows: readonly Row[]): string {
  return rows.map(({ name, result, reason }) => `${name} (${reason ?? result})`).join(', ');
}

async function renderRows(rows: readonly Row[], paint: Paint): Promise<string> {
  const cells = rows.map(({ name, result, services, ms, reason }) => [
    name,
    paintState(result, paint),
    services === undefined ? '' : String(services),
    result === 'done' || ms > 0 ? formatDuration(ms) : '',
    reason ?? '',
  ]);
  return await renderTable(['NAME', 'RESULT', 'SERVICES', 'TIME', ''], cells, paint);
}

export const ALL_COMMANDS = [upAll, downAll];
