// Results of runs that a full disk did not take, kept until it does: without its result a run looks as if it went on for as long
// as its daemon is there.
import type { RunId } from '../protocol/ids.ts';
import type { RunResult, RunSummary } from '../protocol/operations.ts';
import { type StoredResult, writeResult } from './run-files.ts';

/** Results are small; a disk that is full for longer than so many runs is told of in every one of them. */
const MOST = 1000;
const RETRY_MS = 60_000;

export class OwedResults {
  readonly #runsDir: string;
  readonly #owed = new Map<RunId, StoredResult>();
  #retry: NodeJS.Timeout | undefined;

  constructor(runsDir: string) {
    this.#runsDir = runsDir;
  }

  add(result: RunResult, endedAt: number): void {
    this.#owed.set(result.run, { ...result, endedAt });
    const [oldest] = this.#owed.keys();
    if (this.#owed.size > MOST && oldest !== undefined) this.#owed.delete(oldest);
    this.#later();
  }

  get(run: RunId): RunResult | undefined {
    const { endedAt, ...result } = this.#owed.get(run) ?? {};
    return 'run' in result ? result : undefined;
  }

  /** What the disk says is older than this. */
  correct(summary: RunSummary): RunSummary {
    const owed = this.#owed.get(summary.run);
    if (owed === undefined) return summary;
    const { outcome, endedAt, error } = owed;
    return { ...summary, outcome, endedAt, ...(error === undefined ? {} : { message: error.message }) };
  }

  /** Never throws: what cannot be written is owed on. */
  async settle(): Promise<void> {
    for (const [run, { endedAt, ...result }] of [...this.#owed]) {
      const isWritten = await writeResult(`${this.#runsDir}/${run}`, result, endedAt).then(
        () => true,
        () => false,
      );
      if (isWritten) this.#owed.delete(run);
    }
  }

  #later(): void {
    if (this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      void this.settle().then(() => (this.#owed.size > 0 ? this.#later() : undefined));
    }, RETRY_MS).unref();
  }
}
