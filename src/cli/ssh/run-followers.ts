// Hands the events of runs to whoever follows them.
import type { MessageConnection } from 'vscode-jsonrpc/node.js';
import { fromWireError } from '../../protocol/errors.ts';
import { journalEventSchema } from '../../protocol/events.ts';
import type { RunId } from '../../protocol/ids.ts';
import {
  eventsNotification,
  heartbeatNotification,
  startedNotification,
  waitingNotification,
} from '../../protocol/rpc.ts';
import type { Follower } from '../agent-client.ts';

interface Expected {
  operation: string;
  follower: Follower;
  run: RunId | undefined;
}

export class RunFollowers {
  readonly #byRun = new Map<RunId, Follower>();
  /** Asked for and not yet started, in the order of asking. */
  readonly #expected: Expected[] = [];

  constructor(connection: MessageConnection) {
    connection.onNotification(startedNotification, ({ run, operation }) => this.#started(run, operation));
    connection.onNotification(eventsNotification, ({ events }) => {
      for (const message of events) {
        // An agent of a later version may report what this rdc does not know: that is no reason to stop listening.
        const event = journalEventSchema.safeParse(message);
        if (event.success) this.#byRun.get(event.data.run)?.onEvent?.(event.data);
      }
    });
    connection.onNotification(waitingNotification, ({ operation, why }) => {
      const waiting = this.#expected.find((entry) => entry.operation === operation);
      waiting?.follower.onWaiting?.(fromWireError(why));
    });
    connection.onNotification(heartbeatNotification, () => undefined);
  }

  /** For a run that is being asked for and has no id yet. */
  expect(operation: string, follower: Follower): { run(): RunId | undefined; end(): void } {
    const entry: Expected = { operation, follower, run: undefined };
    this.#expected.push(entry);
    return {
      run: () => entry.run,
      end: () => {
        const index = this.#expected.indexOf(entry);
        if (index >= 0) this.#expected.splice(index, 1);
        if (entry.run !== undefined) this.#byRun.delete(entry.run);
      },
    };
  }

  /** For a run that exists. Returns how to stop. */
  follow(run: RunId, follower: Follower): () => void {
    this.#byRun.set(run, follower);
    return () => this.#byRun.delete(run);
  }

  #started(run: RunId, operation: string): void {
    const index = this.#expected.findIndex((entry) => entry.operation === operation);
    const [entry] = index < 0 ? [] : this.#expected.splice(index, 1);
    if (entry === undefined) return;
    entry.run = run;
    this.#byRun.set(run, entry.follower);
    entry.follower.onStarted?.(run);
  }
}
