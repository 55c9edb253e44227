// The runs on disk: listing them, and at the start of a daemon bringing to an end what its predecessor left.
import { messageOf } from '../protocol/errors.ts';
import type { RunId } from '../protocol/ids.ts';
import type { RunSummary } from '../protocol/operations.ts';
import { isGoingOn, lastSign, readRequest, readResult, runIds, writeResult } from './run-files.ts';
import { interruptedResult } from './run-following.ts';

/** Newest first. */
export async function listRuns(runsDir: string, limit: number): Promise<RunSummary[]> {
  const summaries: RunSummary[] = [];
  for (const run of await runIds(runsDir)) {
    if (summaries.length >= limit) break;
    const summary = await summarize(`${runsDir}/${run}`, run);
    if (summary !== undefined) summaries.push(summary);
  }
  return summaries;
}

async function summarize(directory: string, run: RunId): Promise<RunSummary | undefined> {
  const request = await readRequest(directory);
  // Removed since it was listed, or never begun.
  if (request === undefined) return undefined;
  const goesOn = await isGoingOn(directory);
  const stored = await readResult(directory);
  const { operation, repo, actor, startedAt } = request;
  const outcome = stored?.outcome ?? (goesOn ? 'running' : 'interrupted');
  return {
    run,
    operation,
    ...(repo === undefined ? {} : { repo }),
    actor,
    startedAt,
    ...(stored === undefined ? {} : { endedAt: stored.endedAt }),
    outcome,
    ...(stored?.error === undefined ? {} : { message: stored.error.message }),
  };
}

export interface Recovery {
  /** Of which function units are there. */
  unitRuns(): Promise<RunId[]>;
  endUnits(run: RunId): Promise<void>;
  onTrouble(message: string): void;
}

/**
 * Marks runs without a result whose daemon is gone. `endUnits` comes first, so that a crash in between repeats both. What a full
 * disk does not take is told: without a mark they are told as interrupted all the same.
 */
export async function recoverRuns(runsDir: string, { unitRuns, endUnits, onTrouble }: Recovery): Promise<void> {
  const known = await runIds(runsDir);
  // Of a run whose directory the disk did not take.
  for (const run of await unitRuns()) if (!known.includes(run)) await endUnits(run);
  for (const run of known) {
    const directory = `${runsDir}/${run}`;
    const request = await readRequest(directory);
    if (request === undefined || (await readResult(directory)) !== undefined || (await isGoingOn(directory))) continue;
    await endUnits(run);
    // The clock of files is coarser than ours.
    const endedAt = Math.max(request.startedAt, Math.round((await lastSign(directory)) ?? 0));
    await writeResult(directory, interruptedResult(run), endedAt).catch((error: unknown) =>
      onTrouble(`the end of run ${run} cannot be kept: ${messageOf(error)}`),
    );
  }
}
