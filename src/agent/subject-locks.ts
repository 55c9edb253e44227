// All locks of one run, or none.
import { acquireLock, type HeldLock, type LockRequest } from './lock.ts';

export interface RunSubject {
  key: string;
  /** How messages call what is locked: `"shop"` or "the machine". */
  subject: string;
  /** Name of the repository, for lists. */
  repo?: string;
}

type Terms = Pick<LockRequest, 'owner' | 'waitMs' | 'onWait'> & { signal?: AbortSignal | undefined };

/** Takes them in the given order, the same for every run, so that two never wait for each other. Throws what acquireLock throws. */
export async function takeLocks(
  directory: string,
  subjects: readonly RunSubject[],
  { owner, waitMs, signal, onWait }: Terms,
): Promise<HeldLock[]> {
  const held: HeldLock[] = [];
  const deadline = performance.now() + waitMs;
  try {
    for (const { key, subject } of subjects) {
      const left = waitMs === 0 ? 0 : Math.max(1, deadline - performance.now());
      const request = { directory, key, subject, owner, waitMs: left, onWait };
      held.push(await acquireLock(signal === undefined ? request : { ...request, signal }));
    }
    return held;
  } catch (error) {
    for (const lock of held.toReversed()) await lock.release();
    throw error;
  }
}
