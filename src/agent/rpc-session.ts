// The JSON-RPC half of a session: questions, runs, followers. Losing the connection ends the following, never a run.
import type { Duplex } from 'node:stream';
import {
  createMessageConnection,
  type MessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node.js';
import { type RdcError, toWireError, type WireError } from '../protocol/errors.ts';
import type { JournalEvent } from '../protocol/events.ts';
import { type RunId, runIdSchema } from '../protocol/ids.ts';
import { type RunOperation, type RunResult, runOptionsSchema } from '../protocol/operations.ts';
import {
  callRequest,
  cancelRequest,
  eventsNotification,
  followRequest,
  heartbeatNotification,
  runRequest,
  startedNotification,
  WIRE_ERROR,
  waitingNotification,
} from '../protocol/rpc.ts';
import type { QueryContext } from './handlers.ts';
import { parseInput, parseWith, queryNamed, runNamed } from './request.ts';
import type { SessionDeps } from './session.ts';

const HEARTBEAT_MS = 10_000;

export type RpcDeps = Pick<SessionDeps, 'runs' | 'queries' | 'createSystem'>;

/** Resolves when the other side has closed its half or is gone. */
export async function serveRpc(socket: Duplex, actor: string, deps: RpcDeps): Promise<void> {
  const connection = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket));
  const gone = new AbortController();
  const conversation = new Conversation(connection, actor, deps, gone.signal);
  connection.onRequest(callRequest, ({ operation, input }) => answered(() => conversation.call(operation, input)));
  connection.onRequest(runRequest, (params) => answered(() => conversation.run(params)));
  connection.onRequest(followRequest, ({ run, after, wait }) =>
    answered(() => conversation.follow(checkedRun(run), after, wait !== false)),
  );
  connection.onRequest(cancelRequest, ({ run }) => answered(() => conversation.cancel(checkedRun(run))));
  await untilClosed(connection, socket);
  gone.abort();
}

class Conversation {
  readonly #connection: MessageConnection;
  readonly #actor: string;
  readonly #deps: RpcDeps;
  readonly #gone: AbortSignal;

  constructor(connection: MessageConnection, actor: string, deps: RpcDeps, gone: AbortSignal) {
    this.#connection = connection;
    this.#actor = actor;
    this.#deps = deps;
    this.#gone = gone;
  }

  async call(operation: string, input: unknown): Promise<unknown> {
    const name = queryNamed(operation);
    // Input and handler belong to the same operation.
    const handler = this.#deps.queries[name] as (input: unknown, context: QueryContext) => Promise<unknown>;
    return handler(parseInput(name, input), { system: this.#deps.createSystem(this.#gone) });
  }

  async run(params: { operation: string; input: unknown; options: unknown }): Promise<RunResult> {
    const operation = runNamed(params.operation);
    const run = await this.#deps.runs.start({
      operation,
      input: parseInput(operation, params.input),
      options: parseWith(runOptionsSchema, params.options, operation),
      actor: this.#actor,
      signal: this.#gone,
      onWait: (why) => this.#tellWaiting(operation, why),
    });
    await this.#connection.sendNotification(startedNotification, { run, operation });
    return this.follow(run, 0);
  }

  #tellWaiting(operation: RunOperation, why: RdcError): void {
    const told = this.#connection.sendNotification(waitingNotification, { operation, why: toWireError(why) });
    // Whoever is gone is not told.
    told.catch(() => undefined);
  }

  follow(run: RunId, after: number, wait = true): Promise<RunResult> {
    // Resolves when the events have been taken by the socket: a slow follower is waited for, nothing piles up.
    const onEvents = (events: JournalEvent[]) => this.#connection.sendNotification(eventsNotification, { events });
    return this.#deps.runs.follow(run, { after, onEvents, wait, signal: this.#gone });
  }

  async cancel(run: RunId): Promise<{ noted: boolean }> {
    return { noted: await this.#deps.runs.cancel(run, this.#actor) };
  }
}

function checkedRun(run: unknown): RunId {
  return parseWith(runIdSchema, run, 'run');
}

function untilClosed(connection: MessageConnection, socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const beat = () => connection.sendNotification(heartbeatNotification, { at: Date.now() });
    const heartbeat = setInterval(() => void beat().catch(() => socket.destroy()), HEARTBEAT_MS);
    const finish = () => {
      clearInterval(heartbeat);
      connection.dispose();
      resolve();
    };
    // "close" alone is not enough: a client that has closed its half gets nothing more either.
    socket.once('end', finish);
    socket.once('close', finish);
    // Broken framing, or a write to a client that is gone: there is nothing left to talk about.
    connection.onError(() => socket.destroy());
    connection.listen();
  });
}

/** Errors cross as WireError in the data of the JSON-RPC error. */
async function answered<T>(work: () => Promise<T>): Promise<T | ResponseError<WireError>> {
  try {
    return await work();
  } catch (error) {
    const wire = toWireError(error);
    return new ResponseError(WIRE_ERROR, wire.message, wire);
  }
}
