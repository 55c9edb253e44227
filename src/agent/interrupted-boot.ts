// What a start at boot that ended with the agent has left to do.
import { availableParallelism, uptime } from 'node:os';
import pLimit from 'p-limit';
import { messageOf } from '../protocol/errors.ts';
import type { RepoSummary, RunSummary } from '../protocol/operations.ts';
import type { SupervisionKind } from '../protocol/supervision.ts';
import type { RepoRecord } from './repo-store.ts';
import type { Runs } from './runs.ts';
import { bringUp } from './supervisor-actor.ts';

type Named = Pick<RepoSummary, 'guid' | 'name'>;

/** More than a machine's repositories can have had since it started. */
export const MOST_RUNS = 1000;

export interface FinishDeps {
  runs: Pick<Runs, 'start' | 'follow' | 'list'>;
  signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
  isEnabled(): Promise<boolean>;
  tell(kind: SupervisionKind, message: string, repo: Named): void;
  giveUp(repo: Named, reason: string): void;
}

/** Starts what one that ended with the agent has not started. */
export async function finishBoot(records: readonly RepoRecord[], deps: FinishDeps): Promise<void> {
  const bootedAt = deps.now() - uptime() * 1000;
  const left = leftByBoot(await deps.runs.list(MOST_RUNS), records, bootedAt);
  if (left.length === 0 || !(await deps.isEnabled())) return;
  const limit = pLimit(availableParallelism() + 1);
  await Promise.all(left.map((record) => limit(() => finishOne(record, deps))));
}

async function finishOne(record: RepoRecord, deps: FinishDeps): Promise<void> {
  try {
    await bringUp(deps.runs, record.guid);
    deps.tell('repository-started', `"${record.name}" was started: the start at boot had been interrupted`, record);
  } catch (error) {
    if (deps.signal.aborted) return;
    deps.giveUp(record, notStarted(messageOf(error)));
  }
}

export function notStarted(reason = 'no reason given'): string {
  return `it did not start at boot: ${reason}`;
}

/**
 * The repositories to start, of those marked for it; not one that somebody has touched since: what a person has stopped stays so.
 * @param runs newest first
 * @param bootedAt milliseconds since the epoch
 */
export function leftByBoot(
  runs: readonly RunSummary[],
  records: readonly RepoRecord[],
  bootedAt: number,
): RepoRecord[] {
  const boot = runs.find(({ operation }) => operation === 'machine.autostart');
  if (boot === undefined || boot.outcome !== 'interrupted' || boot.startedAt < bootedAt) return [];
  const since = runs.filter(({ startedAt }) => startedAt >= boot.startedAt);
  const isTouched = ({ name }: RepoRecord) =>
    since.some(({ repo, actor, outcome }) => repo === name && (actor !== 'boot' || outcome !== 'interrupted'));
  return records.filter((record) => record.autostart && !isTouched(record));
}
