// What the agent can do with runs. A run belongs to the daemon, not to the connection that asked for it: it goes on when
// the follower is gone, and any number of followers read it from any event on.
import type { System } from '../lifecycle/system.ts';
import type { RdcError } from '../protocol/errors.ts';
import type { RunId } from '../protocol/ids.ts';
import type { RunOperation, RunOptions, RunResult, RunSummary } from '../protocol/operations.ts';
import type { RunHandlers } from './handlers.ts';
import type { RunOwner } from './live-run.ts';
import type { ProcessIdentity } from './process-identity.ts';
import type { Following } from './run-following.ts';
import type { RunSubject } from './subject-locks.ts';

export interface RunsDeps {
  handlers: RunHandlers;
  runsDir: string;
  lockDir: string;
  /** This process, written into every run so that a later daemon knows whose it was. */
  self: ProcessIdentity;
  createSystem(signal: AbortSignal): System;
  /** What a run locks. Throws NOT_FOUND for a repository that is not there. */
  subjectsOf(operation: RunOperation, input: unknown): Promise<RunSubject[]>;
  /** Ends what a run has started beside child processes: its function units. */
  endUnits(run: RunId): Promise<void>;
  /** Runs of which something beside child processes is there, whoever has started them. */
  unitRuns(): Promise<RunId[]>;
  /** A run that is no dry run has its locks and begins. */
  onBegan?(begun: Pick<RunEnd, 'keys'>): void;
  /** A run that was no dry run has ended, its locks free. */
  onEnded?(end: RunEnd): void;
  /** For the log of the daemon. */
  log(message: string): void;
}

export interface RunEnd {
  operation: RunOperation;
  actor: string;
  /** Of its locks; a repository's is its GUID. */
  keys: readonly string[];
  result: RunResult;
}

export interface RunStart {
  operation: RunOperation;
  /** Parsed with the operation's schema. */
  input: unknown;
  options: RunOptions;
  actor: string;
  /** Ends the waiting for a busy repository; a run that has begun goes on. */
  signal?: AbortSignal;
  /** Somebody else holds what it needs, and it waits: with what a refusal would have said. */
  onWait?(why: RdcError): void;
}

export interface Runs {
  /** Takes the locks, then begins; resolves with the id as soon as the run exists. Throws BUSY, NOT_FOUND or CANCELLED before that. */
  start(request: RunStart): Promise<RunId>;
  /** Throws NOT_FOUND, or CANCELLED when the follower's signal is aborted. */
  follow(run: RunId, following: Following): Promise<RunResult>;
  /** False: it has ended already. Resolves when the request is noted; follow the run to see it end. */
  cancel(run: RunId, actor: string): Promise<boolean>;
  /** Every run of this daemon, as `cancel` does; and none begins any more. */
  cancelAll(why: RdcError): void;
  /** The run of this daemon that holds the lock of this key. */
  busy(key: string): RunOwner | undefined;
  list(limit: number): Promise<RunSummary[]>;
  /** Runs that go on or wait to begin. */
  active(): number;
  /** Resolves when no run goes on, and none waits to begin. */
  settle(): Promise<void>;
  /** At start, before anything new begins: ends what a dead daemon has left and marks its runs interrupted. */
  recover(): Promise<void>;
}
