// A run that goes on in this process, as its followers see it.
import type { RunId } from '../protocol/ids.ts';
import type { RunResult } from '../protocol/operations.ts';
import type { EventReader } from './event-reader.ts';
import type { Journal } from './journal.ts';
import type { LockOwner } from './lock-owner.ts';
import type { Wakeup } from './wakeup.ts';

/** What following needs, whether the run is live or long over. */
export interface RunSource {
  readonly run: RunId;
  /** Starts behind the event `after`. */
  reader(after: number): Promise<EventReader>;
  /** undefined while it goes on. Once there is one, all events can be read. */
  result(): Promise<RunResult | undefined>;
  /** To be asked for before looking, and given to `changed` afterwards: so nothing comes in between unseen. */
  mark(): number;
  /** Resolves when there may be more than at `mark`, or when the signal is aborted. */
  changed(mark: number, signal?: AbortSignal): Promise<void>;
}

export type RunOwner = LockOwner & { run: RunId };

export class LiveRun implements RunSource {
  readonly owner: RunOwner;
  /** Of the locks that it holds. */
  readonly keys: readonly string[];
  readonly controller = new AbortController();
  /** Resolves when the result is kept and the locks are free; never rejects. */
  ended: Promise<void> = Promise.resolve();
  readonly #journal: Journal;
  readonly #wakeup: Wakeup;
  #result: RunResult | undefined;

  constructor(parts: { owner: RunOwner; keys: readonly string[]; journal: Journal; wakeup: Wakeup }) {
    this.owner = parts.owner;
    this.keys = parts.keys;
    this.#journal = parts.journal;
    this.#wakeup = parts.wakeup;
  }

  get run(): RunId {
    return this.owner.run;
  }

  end(result: RunResult): void {
    this.#result = result;
    this.#wakeup.wake();
  }

  reader(after: number): Promise<EventReader> {
    return this.#journal.reader(after);
  }

  async result(): Promise<RunResult | undefined> {
    return this.#result;
  }

  mark(): number {
    return this.#wakeup.count;
  }

  changed(mark: number, signal?: AbortSignal): Promise<void> {
    return this.#wakeup.beyond(mark, signal);
  }
}
