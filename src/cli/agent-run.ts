// From a command to the machine's agent and back: questions, and runs that are drawn while they go on. A run belongs to
// the agent: whoever stops following is told how to come back.
import { fromWireError, RdcError, type WireError } from '../protocol/errors.ts';
import type { PlanStep } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import type { OutputOf, QueryOperation, RequestOf, RunOperation, RunResult } from '../protocol/operations.ts';
import type { AgentClient, Follower } from './agent-client.ts';
import type { CommandContext } from './context.ts';
import { suggest } from './did-you-mean.ts';
import { untilInterrupted } from './interrupt.ts';
import { openProgress } from './progress.ts';
import type { ConnectMode } from './reach.ts';
import type { MachineTarget, RepositoryTarget } from './target.ts';

/** One connection for everything that `work` asks. */
export async function withAgent<T>(
  command: CommandContext,
  machine: MachineTarget,
  work: (client: AgentClient) => Promise<T>,
  mode: ConnectMode = 'use',
): Promise<T> {
  const client = await connect(command, machine, mode);
  try {
    return await work(client);
  } catch (error) {
    throw forMachine(error, machine);
  } finally {
    await client.close();
  }
}

async function connect(command: CommandContext, machine: MachineTarget, mode: ConnectMode): Promise<AgentClient> {
  const connecting = command.connect(machine, mode);
  const client = await untilInterrupted(command.signal, connecting);
  if (client !== undefined) return client;
  // It may still come about: nobody would close it then.
  connecting.then((late) => late.close()).catch(() => undefined);
  throw interrupted();
}

export async function call<K extends QueryOperation>(
  { signal }: CommandContext,
  client: AgentClient,
  operation: K,
  input: RequestOf<K>,
): Promise<OutputOf<K>> {
  const answer = await untilInterrupted(signal, client.call(operation, input));
  if (answer === undefined) throw interrupted();
  return answer;
}

export interface RunEnd<O> {
  run: RunId;
  outcome: 'done' | 'partial' | 'planned';
  /** There unless planned. */
  output: O | undefined;
  plan: PlanStep[];
  warnings: string[];
}

/** Resolves for "done", "partial" and "planned"; throws the run's own error for everything else. */
export async function runOperation<K extends RunOperation>(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  operation: K,
  input: RequestOf<K>,
): Promise<RunEnd<OutputOf<K>>> {
  const { client } = connection;
  const options = { dryRun: command.dryRun, waitMs: command.waitMs };
  return await drawRun<OutputOf<K>>(command, connection, (follower) => client.run(operation, input, options, follower));
}

/** Follows a run from the event after `after`. */
export async function followRun(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  run: RunId,
  after: number,
): Promise<RunEnd<unknown>> {
  return await drawRun(command, connection, (follower) => connection.client.follow(run, after, follower), run);
}

type AnyResult<O> = Omit<RunResult, 'output'> & { output?: O | undefined };

async function drawRun<O>(
  { io, now, signal }: CommandContext,
  { machine }: { machine: MachineTarget },
  start: (follower: Follower) => Promise<AnyResult<O>>,
  known?: RunId,
): Promise<RunEnd<O>> {
  const progress = await openProgress(io, now);
  let run = known;
  const follower: Follower = {
    onStarted: (id) => {
      run = id;
    },
    onEvent: ({ event }) => progress.event(event),
  };
  try {
    const result = await untilInterrupted(signal, start(follower));
    if (result === undefined) throw leftAlone(run, machine);
    return judge(result, progress.plan());
  } finally {
    progress.close();
  }
}

function judge<O>(result: AnyResult<O>, drawn: PlanStep[]): RunEnd<O> {
  const { run, outcome, output, warnings, plan = drawn } = result;
  if (outcome === 'done' || outcome === 'partial' || outcome === 'planned') {
    return { run, outcome, output, plan, warnings };
  }
  if (result.error !== undefined) throw fromWireError(result.error as WireError);
  const code = outcome === 'cancelled' ? 'CANCELLED' : 'FAILED';
  throw new RdcError(code, `the run ${outcome === 'cancelled' ? 'was cancelled' : outcome}`, {
    hint: `rdc run logs ${run}`,
  });
}

function leftAlone(run: RunId | undefined, machine: MachineTarget): RdcError {
  if (run === undefined) return interrupted();
  return new RdcError('INTERRUPTED', `stopped following; the run goes on on "${machine.name}"`, {
    hint: `rdc run attach ${run} -m ${machine.name}`,
  });
}

export function interrupted(): RdcError {
  return new RdcError('INTERRUPTED', 'interrupted');
}

/** The agent does not know what we call its machine: a command in its hint works from here only with -m. */
function forMachine(error: unknown, { name }: MachineTarget): unknown {
  if (!(error instanceof RdcError) || error.hint === undefined) return error;
  const { code, message, hint, cause } = error;
  if (!/^rdc (run|repo|machine) /.test(hint) || / -m /.test(hint)) return error;
  return new RdcError(code, message, { hint: `${hint} -m ${name}`, cause });
}

/** For a repository that the machine does not have: the name a person used, and the nearest there is. */
export async function onRepository<T>(
  client: AgentClient,
  { machine, name }: RepositoryTarget,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'NOT_FOUND') throw error;
    const { repositories } = await client.call('repo.list', {});
    const known = repositories.map((repo) => repo.name);
    throw new RdcError('NOT_FOUND', `there is no repository "${name}" on machine "${machine.name}"`, {
      hint: suggest(name, known, 'repository'),
      cause: error,
    });
  }
}
