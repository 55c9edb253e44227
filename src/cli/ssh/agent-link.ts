// The conversation with the agent over one ssh session: hello lines, then JSON-RPC (src/protocol/rpc.ts).
// Secrets leave the program here and nowhere else on the way to a server.
import { PassThrough } from 'node:stream';
import {
  createMessageConnection,
  ErrorCodes,
  type MessageConnection,
  ResponseError,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node.js';
import { fromWireError, RdcError, type WireError } from '../../protocol/errors.ts';
import type { ServerHello } from '../../protocol/hello.ts';
import type { RunId } from '../../protocol/ids.ts';
import {
  OPERATIONS,
  type OutputOf,
  type QueryOperation,
  type RequestOf,
  type RunOperation,
  type RunOptions,
  type RunResult,
  runOptionsSchema,
  runResultSchema,
} from '../../protocol/operations.ts';
import { callRequest, cancelRequest, followRequest, runRequest, WIRE_ERROR } from '../../protocol/rpc.ts';
import { revealForWire } from '../../protocol/secret.ts';
import type { AgentClient, Follower, TypedRunResult } from '../agent-client.ts';
import { BoundedReader } from './bounded-reader.ts';
import { withDeadline } from './deadline.ts';
import { connectionLost } from './failure.ts';
import { watchLink } from './link-watch.ts';
import { RunFollowers } from './run-followers.ts';
import type { SshSession, SshTarget } from './transport.ts';

/** How long a clean goodbye may take. */
const CLOSE_MS = 1000;
/** Made up on this side when the connection ends before the answer. */
const LINK_CODES: readonly number[] = [ErrorCodes.PendingResponseRejected, ErrorCodes.ConnectionInactive];

/** Speaks JSON-RPC over a session whose hello lines have been exchanged. */
export function agentLink(session: SshSession, target: SshTarget, hello: ServerHello): AgentClient {
  return new AgentLink(session, target, hello);
}

class AgentLink implements AgentClient {
  readonly hello: ServerHello;
  readonly #session: SshSession;
  readonly #target: SshTarget;
  readonly #connection: MessageConnection;
  readonly #followers: RunFollowers;
  readonly #lost: Promise<never>;
  readonly #stopWatching: () => void;
  /** vscode-jsonrpc leaves a rejection unhandled when its stream is gone; this one never is, and `#lost` tells instead. */
  readonly #outgoing = new PassThrough();

  constructor(session: SshSession, target: SshTarget, hello: ServerHello) {
    this.hello = hello;
    this.#session = session;
    this.#target = target;
    this.#outgoing.pipe(session.stdin);
    this.#connection = createMessageConnection(new BoundedReader(session), new StreamMessageWriter(this.#outgoing));
    this.#followers = new RunFollowers(this.#connection);
    // Broken framing or a write into a dead session: the end of the session tells the reason.
    this.#connection.onError(() => undefined);
    this.#connection.listen();
    const watch = watchLink(session, target);
    this.#lost = watch.lost;
    this.#stopWatching = watch.stop;
    session.stdout.resume();
  }

  async call<K extends QueryOperation>(operation: K, input: RequestOf<K>): Promise<OutputOf<K>> {
    const params = { operation, input: revealForWire(input) };
    const answer = await this.#answer(() => this.#connection.sendRequest(callRequest, params));
    return this.#read(operation, answer) as OutputOf<K>;
  }

  async run<K extends RunOperation>(
    operation: K,
    input: RequestOf<K>,
    options: Partial<RunOptions>,
    follower: Follower,
  ): Promise<TypedRunResult<K>> {
    const following = this.#followers.expect(operation, follower);
    const params = { operation, input: revealForWire(input), options: runOptionsSchema.parse(options) };
    const request = () => this.#connection.sendRequest(runRequest, params);
    try {
      const { output, ...result } = await this.#result(this.#answer(request, () => following.run()));
      if (output === undefined || output === null) return result;
      return { ...result, output: this.#read(operation, output) as OutputOf<K> };
    } finally {
      following.end();
    }
  }

  async follow(run: RunId, after: number, follower: Follower, wait = true): Promise<RunResult> {
    const end = this.#followers.follow(run, follower);
    try {
      const request = () => this.#connection.sendRequest(followRequest, { run, after, wait });
      return await this.#result(this.#answer(request, () => run));
    } finally {
      end();
    }
  }

  async cancel(run: RunId): Promise<void> {
    await this.#answer(() => this.#connection.sendRequest(cancelRequest, { run }));
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#connection.dispose();
    this.#outgoing.end();
    this.#session.stdout.resume();
    const gone = this.#session.ended.then(
      () => undefined,
      () => undefined,
    );
    const inTime = withDeadline(gone, CLOSE_MS, () => new Error('late'));
    await inTime.catch(() => this.#session.close());
  }

  /** The answer, or why there will be none; `run` names the run that goes on without us. */
  async #answer<T>(send: () => Promise<T>, run: () => RunId | undefined = () => undefined): Promise<T> {
    try {
      const request = send();
      // Whichever loses the race is rejected later, with nobody to hear it.
      request.catch(() => undefined);
      return await Promise.race([request, this.#lost]);
    } catch (error) {
      throw this.#explain(error, run());
    }
  }

  #explain(error: unknown, run: RunId | undefined): RdcError {
    if (error instanceof RdcError) return this.#goesOn(error, run);
    if (!(error instanceof ResponseError) || LINK_CODES.includes(error.code)) {
      return this.#goesOn(connectionLost(this.#target, error), run);
    }
    return error.code === WIRE_ERROR && isWireError(error.data) ? fromWireError(error.data) : this.#broken(error);
  }

  #goesOn(error: RdcError, run: RunId | undefined): RdcError {
    if (run === undefined) return error;
    const { machine } = this.#target;
    return new RdcError('CONNECTION_LOST', `${error.message}; the run goes on there`, {
      hint: `rdc run attach ${run} -m ${machine}`,
      cause: error.cause,
    });
  }

  #broken(cause: unknown): RdcError {
    const message = `the agent on machine "${this.#target.machine}" gave an answer that this rdc does not understand`;
    return new RdcError('INTERNAL', message, { cause });
  }

  #read(operation: QueryOperation | RunOperation, answer: unknown): unknown {
    const parsed = OPERATIONS[operation].output.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw this.#broken(parsed.error);
  }

  async #result(answer: Promise<RunResult>): Promise<RunResult> {
    const parsed = runResultSchema.safeParse(await answer);
    if (parsed.success) return parsed.data;
    throw this.#broken(parsed.error);
  }
}

function isWireError(data: unknown): data is WireError {
  return typeof data === 'object' && data !== null && 'code' in data && 'message' in data;
}
