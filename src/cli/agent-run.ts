// From a command to the machine's agent and back: questions, and runs, which are watched to their end.
import { randomUUID } from 'node:crypto';
import { RdcError } from '../protocol/errors.ts';
import type { RunId } from '../protocol/ids.ts';
import {
  OPERATIONS,
  type OutputOf,
  type QueryOperation,
  type RequestOf,
  type RunOperation,
} from '../protocol/operations.ts';
import type { AgentClient } from './agent-client.ts';
import type { CommandContext } from './context.ts';
import { suggest } from './did-you-mean.ts';
import { untilInterrupted } from './interrupt.ts';
import type { ConnectMode } from './reach.ts';
import { interrupted, type RunEnd } from './run-end.ts';
import type { MachineTarget, RepositoryTarget } from './target.ts';
import { watchRun } from './watch-run.ts';

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

/** As watchRun. */
export async function runOperation<K extends RunOperation>(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  operation: K,
  input: RequestOf<K>,
): Promise<RunEnd<OutputOf<K>>> {
  const options = { dryRun: command.dryRun, waitMs: command.waitMs, key: randomUUID() };
  return await watchRun<OutputOf<K>>(command, connection, {
    start: (client, follower) => client.run(operation, input, options, follower),
    readOutput: (output) => OPERATIONS[operation].output.parse(output) as OutputOf<K>,
  });
}

/** Follows a run from its start. */
export async function followRun(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  run: RunId,
): Promise<RunEnd<unknown>> {
  return await watchRun<unknown>(command, connection, {
    start: (client, follower) => client.follow(run, 0, follower),
    readOutput: (output) => output,
    run,
  });
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
