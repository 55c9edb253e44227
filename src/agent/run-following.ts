// Following: every event after a given one, in order and once, then how the run ended. Works the same on a run of this
// daemon, on one that a daemon before us is still finishing, and on one that ended last week.
import { setTimeout as sleep } from 'node:timers/promises';
import { RdcError } from '../protocol/errors.ts';
import type { JournalEvent } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import type { RunResult } from '../protocol/operations.ts';
import { openEventReader } from './event-reader.ts';
import type { RunSource } from './live-run.ts';
import { isGoingOn, readRequest, readResult } from './run-files.ts';

export interface Following {
  /** Number of the last event that is not wanted; 0: all. */
  after: number;
  /** At least one, in order. The next ones are given when this has resolved: a slow follower is waited for. */
  onEvents(events: JournalEvent[]): Promise<void>;
  /** false: only what there is, without waiting for the end. */
  wait?: boolean | undefined;
  /** The follower is gone. */
  signal?: AbortSignal | undefined;
}

/** Throws CANCELLED when the signal ends the following. */
export async function followRun(
  source: RunSource,
  { after, onEvents, wait = true, signal }: Following,
): Promise<RunResult> {
  const reader = await source.reader(after);
  try {
    for (;;) {
      const mark = source.mark();
      const result = await source.result();
      for (let events = await reader.next(); events.length > 0; events = await reader.next()) {
        if (signal?.aborted) throw new RdcError('CANCELLED', 'the follower is gone');
        await onEvents(events);
      }
      if (result !== undefined) return result;
      if (!wait) return { run: source.run, outcome: 'running', warnings: [] };
      if (signal?.aborted) throw new RdcError('CANCELLED', 'the follower is gone');
      await source.changed(mark, signal);
    }
  } finally {
    await reader.close();
  }
}

/** How often a run of another process is looked at: it cannot wake us. */
const POLL_MS = 250;

/** A run on disk. undefined: there is none. */
export async function storedRun(runsDir: string, run: RunId): Promise<RunSource | undefined> {
  const directory = `${runsDir}/${run}`;
  if ((await readRequest(directory)) === undefined) return undefined;
  return {
    run,
    reader: (after) => openEventReader(directory, after),
    async result() {
      // In this order: it may end in between.
      const goesOn = await isGoingOn(directory);
      const stored = await readResult(directory);
      if (stored === undefined) return goesOn ? undefined : interruptedResult(run);
      const { endedAt, ...result } = stored;
      return result;
    },
    mark: () => 0,
    changed: (_mark, signal) => sleep(POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(ignoreAbort),
  };
}

export function interruptedResult(run: RunId): RunResult {
  const error = {
    code: 'RUN_INTERRUPTED',
    message: 'the run was interrupted: the agent of the machine ended before it did',
    hint: 'repeat the command: it goes on from what is',
  };
  return { run, outcome: 'interrupted', warnings: [], error };
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}
