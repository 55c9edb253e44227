// Method names and payloads of the JSON-RPC conversation that follows the two hello lines (vscode-jsonrpc,
// Content-Length framing). See docs/decisions/0002-wire-protocol.md.
import { NotificationType, RequestType } from 'vscode-jsonrpc';
import type { WireError } from './errors.ts';
import type { JournalEvent } from './events.ts';
import type { RunId } from './ids.ts';
import type { RunOptions, RunResult } from './operations.ts';

/** A plain question: answered from what is, nothing changes. */
export const callRequest = new RequestType<{ operation: string; input: unknown }, unknown, WireError>('call');
/** Starts a run and follows it; the answer comes when the run has ended. Losing the connection does not end the run. */
export const runRequest = new RequestType<
  { operation: string; input: unknown; options: RunOptions },
  RunResult,
  WireError
>('run');
/**
 * Follows a run from the event after `after` (0: from the start) to its end; with `wait: false` to its last event so far,
 * and the outcome of a run that goes on is then "running".
 */
export const followRequest = new RequestType<{ run: RunId; after: number; wait?: boolean }, RunResult, WireError>(
  'follow',
);
/** Asks a run to stop. Answers once the request is noted, not when the run has ended: follow it for that. */
export const cancelRequest = new RequestType<{ run: RunId }, { noted: boolean }, WireError>('cancel');
/** Sent by the agent while it waits, before there is a run, for somebody who holds what the run needs: what BUSY would say. */
export const waitingNotification = new NotificationType<{ operation: string; why: WireError }>('waiting');
/** Sent by the agent as soon as a run has its id, before its first event. */
export const startedNotification = new NotificationType<{ run: RunId; operation: string }>('started');
/** In order, as many as there are: one message per line of a talkative program would cost more than the line. */
export const eventsNotification = new NotificationType<{ events: JournalEvent[] }>('events');
/** Every 10 s from the agent, so that a dead link is noticed on both sides. */
export const heartbeatNotification = new NotificationType<{ at: number }>('heartbeat');

/** JSON-RPC error code under which our own WireError travels in `data`. */
export const WIRE_ERROR = -32000;
