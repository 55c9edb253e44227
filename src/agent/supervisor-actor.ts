// The supervisor as one of those who change repositories: under their locks, and by runs that everybody can look at.
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import type { Guid } from '../protocol/ids.ts';
import { acquireLock } from './lock.ts';
import type { Runs } from './runs.ts';

/** Who the runs and locks say it is. */
export const SUPERVISOR = 'supervisor';

export interface Locked {
  target: RepoTarget;
  /** What is done with it, for whoever meets the lock. */
  what: string;
  work(): Promise<void>;
}

/** Does the work with the repository's lock; false: somebody else has it. */
export async function withSupervisorLock(
  directory: string,
  signal: AbortSignal,
  { target, what, work }: Locked,
): Promise<boolean> {
  const subject = JSON.stringify(target.name);
  const owner = { operation: what, actor: SUPERVISOR, isUpkeep: true };
  const request = { directory, key: target.guid, subject, owner, waitMs: 0, signal };
  const lock = await acquireLock(request).catch((error: unknown) => {
    if (error instanceof RdcError && error.code === 'BUSY') return undefined;
    throw error;
  });
  if (lock === undefined) return false;
  try {
    await work();
  } finally {
    await lock.release();
  }
  return true;
}

/** A whole `repo up` as a run of its own. Throws FAILED with its reason; BUSY. */
export async function bringUp(runs: Pick<Runs, 'start' | 'follow'>, repo: Guid): Promise<void> {
  const input = { repo, mount: true, prepOnly: false };
  const options = { dryRun: false, waitMs: 0 };
  const run = await runs.start({ operation: 'repo.up', input, options, actor: SUPERVISOR });
  const { outcome, error } = await runs.follow(run, { after: 0, onEvents: async () => undefined });
  if (outcome === 'done' || outcome === 'partial') return;
  throw new RdcError('FAILED', error?.message ?? outcome, { hint: `rdc run logs ${run}` });
}
