// What a command needs of the machine's agent, whatever carries it: ssh/agent-link.ts in life, an in-process
// agent in tests.
import type { RdcError } from '../protocol/errors.ts';
import type { JournalEvent } from '../protocol/events.ts';
import type { ServerHello } from '../protocol/hello.ts';
import type { RunId } from '../protocol/ids.ts';
import type {
  OutputOf,
  QueryOperation,
  RequestOf,
  RunOperation,
  RunOptions,
  RunResult,
} from '../protocol/operations.ts';

export interface Follower {
  /** Somebody else holds what the run needs, and it waits for that: with what a refusal would have said. */
  onWaiting?(why: RdcError): void;
  onStarted?(run: RunId): void;
  onEvent?(event: JournalEvent): void;
}

/** A run's end with its output parsed. */
export type TypedRunResult<K extends RunOperation> = Omit<RunResult, 'output'> & { output?: OutputOf<K> };

export interface AgentClient {
  readonly hello: ServerHello;
  /** Throws the agent's RdcError. */
  call<K extends QueryOperation>(operation: K, input: RequestOf<K>): Promise<OutputOf<K>>;
  /** Resolves with how the run ended, failure included (`result.error`); rejects CONNECTION_LOST when the link drops while the run goes on, and with the agent's error when no run was started (BUSY, NOT_FOUND, INVALID_INPUT). */
  run<K extends RunOperation>(
    operation: K,
    input: RequestOf<K>,
    options: Partial<RunOptions>,
    follower: Follower,
  ): Promise<TypedRunResult<K>>;
  /** Every event after `after`, then how the run ended; with `wait` false its last event so far is the end of it: "running". */
  follow(run: RunId, after: number, follower: Follower, wait?: boolean): Promise<RunResult>;
  cancel(run: RunId): Promise<void>;
  close(): Promise<void>;
}
