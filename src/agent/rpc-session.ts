// The JSON-RPC half of a session: questions, runs, followers. Losing the connection ends the following, never a run.
import type { Duplex } from 'node:stream';
import {
  createMessageConnection,
  type MessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node.js';
import { RdcError, toWireError } from '../protocol/errors.ts';
import type { JournalEvent } from '../protocol/events.ts';
import { runIdSchema } from '../protocol/ids.ts';
import {
  OPERATIONS,
  type OperationName,
  type QueryOperation,
  type RunOperation,
  runOptionsSchema,
} from '../protocol/operations.ts';
import {
  callRequest,
  cancelRequest,
  eventNotification,
  followRequest,
  heartbeatNotification,
  runRequest,
  startedNotification,
  WIRE_ERROR,
} from '../protocol/rpc.ts';
import type { QueryContext } from './handlers.ts';
import type { SessionDeps } from './session.ts';

const HEARTBEAT_MS = 10_000;

type RpcDeps = Pick<SessionDeps, 'runs' | 'queries' | 'createSystem'>;

export function serveRpc(socket: Duplex, actor: string, deps: RpcDeps): Promise<void> {
  const connection = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket));
  const send = (event: JournalEvent) => connection.sendNotification(eventNotification, event);

  connection.onRequest(callRequest, ({ operation, input }) => answered(() => call(operation, input, deps)));
  connection.onRequest(runRequest, ({ operation, input, options }) =>
    answered(async () => {
      const name = knownOperation(operation, true) as RunOperation;
      const request = {
        operation: name,
        input: parseInput(name, input),
        options: runOptionsSchema.parse(options),
        actor,
      };
      const run = await deps.runs.start(request);
      await connection.sendNotification(startedNotification, { run, operation });
      return deps.runs.follow(run, 0, send);
    }),
  );
  connection.onRequest(followRequest, ({ run, after }) =>
    answered(() => deps.runs.follow(runIdSchema.parse(run), after, send)),
  );
  connection.onRequest(cancelRequest, ({ run }) =>
    answered(async () => ({ noted: await deps.runs.cancel(runIdSchema.parse(run)) })),
  );
  return untilClosed(connection, socket);
}

function untilClosed(connection: MessageConnection, socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const heartbeat = setInterval(
      () => void connection.sendNotification(heartbeatNotification, { at: Date.now() }).catch(() => socket.destroy()),
      HEARTBEAT_MS,
    );
    const finish = () => {
      clearInterval(heartbeat);
      connection.dispose();
      socket.end();
      resolve();
    };
    connection.onClose(finish);
    // A broken pipe to a client that is gone is its hang-up, told by onClose as well.
    connection.onError(() => socket.destroy());
    connection.listen();
  });
}

async function call(operation: string, input: unknown, { queries, createSystem }: RpcDeps): Promise<unknown> {
  const name = knownOperation(operation, false) as QueryOperation;
  const handler = queries[name] as (input: unknown, context: QueryContext) => Promise<unknown>;
  return handler(parseInput(name, input), { system: createSystem() });
}

function knownOperation(name: string, changes: boolean): OperationName {
  if (Object.hasOwn(OPERATIONS, name) && OPERATIONS[name as OperationName].changes === changes)
    return name as OperationName;
  throw new RdcError('INVALID_INPUT', `this agent knows no operation "${name}"`);
}

function parseInput(name: OperationName, input: unknown): unknown {
  const parsed = OPERATIONS[name].input.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new RdcError(
    'INVALID_INPUT',
    `${OPERATIONS[name].summary}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`,
  );
}

/** Errors cross as WireError in the data of the JSON-RPC error. */
async function answered<T>(work: () => Promise<T>): Promise<T | ResponseError<ReturnType<typeof toWireError>>> {
  try {
    return await work();
  } catch (error) {
    const wire = toWireError(error);
    return new ResponseError(WIRE_ERROR, wire.message, wire);
  }
}
