// What a start at boot that ended with the agent has left to do.
import type { RunSummary } from '../protocol/operations.ts';
import type { RepoRecord } from './repo-store.ts';

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
