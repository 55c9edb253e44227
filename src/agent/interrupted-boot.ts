// What a start at boot has left to do: its failures are told, and one that ended with the agent is finished.
import { uptime } from 'node:os';
import { messageOf } from '../protocol/errors.ts';
import type { OutputOf, RepoSummary, RunResult, RunSummary } from '../protocol/operations.ts';
import type { SupervisionKind } from '../protocol/supervision.ts';
import type { RepoRecord } from './repo-store.ts';
import type { Runs } from './runs.ts';
import { bringUp } from './supervisor-actor.ts';

type Named = Pick<RepoSummary, 'guid' | 'name'>;

export interface BootDeps {
  runs: Pick<Runs, 'start' | 'follow' | 'list'>;
  signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
  isEnabled(): Promise<boolean>;
  tell(kind: SupervisionKind, message: string, repo: Named): void;
  giveUp(repo: Named, reason: string): void;
}

/** What the start at boot could not do; it has tried as often as makes sense. */
export function failedAtBoot({ output }: RunResult): { repo: Named; reason: string }[] {
  const rows = (output as OutputOf<'machine.autostart'> | undefined)?.repositories ?? [];
  return rows
    .filter(({ result }) => result === 'failed')
    .map(({ guid, name, reason }) => ({ repo: { guid, name }, reason: notStarted(reason ?? 'no reason given') }));
}

/** Starts what one that ended with the agent has not started. */
export async function finishBoot(records: readonly RepoRecord[], deps: BootDeps): Promise<void> {
  const bootedAt = deps.now() - uptime() * 1000;
  const left = leftByBoot(await deps.runs.list(1000), records, bootedAt);
  if (left.length === 0 || !(await deps.isEnabled())) return;
  for (const record of left) {
    try {
      await bringUp(deps.runs, record.guid);
      deps.tell('repository-started', `"${record.name}" was started: the start at boot had been interrupted`, record);
    } catch (error) {
      if (deps.signal.aborted) return;
      deps.giveUp(record, notStarted(messageOf(error)));
    }
  }
}

const notStarted = (reason: string) => `it did not start at boot: ${reason}`;

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
