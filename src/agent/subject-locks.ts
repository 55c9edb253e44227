// All locks of one run, or none.
import { isCode, type RdcError } from '../protocol/errors.ts';
import { acquireLock, type HeldLock, type LockRequest } from './lock.ts';

export interface RunSubject {
  key: string;
  /** How messages call what is locked: `"shop"` or "the machine". */
  subject: string;
  /** Name of the repository, for lists. */
  repo?: string;
}

type Terms = Pick<LockRequest, 'owner' | 'waitMs' | 'onWait'> & { signal?: AbortSignal | undefined };

/**
 * Takes them all. What is waited for is waited for with nothing else in hand: two never wait for each other, and nobody is kept
 * out by a run that has not begun. Throws what acquireLock throws.
 */
export async function takeLocks(
  directory: string,
  subjects: readonly RunSubject[],
  { waitMs, ...terms }: Terms,
): Promise<HeldLock[]> {
  const deadline = performance.now() + waitMs;
  let first: RunSubject | undefined;
  for (;;) {
    const left = waitMs === 0 ? 0 : Math.max(1, deadline - performance.now());
    const taken = await takeAll(directory, startingWith(first, subjects), { ...terms, waitMs: left });
    if ('held' in taken) return taken.held;
    if (waitMs === 0 || performance.now() >= deadline || taken.missing === first) throw taken.why;
    first = taken.missing;
  }
}

function startingWith(first: RunSubject | undefined, subjects: readonly RunSubject[]): RunSubject[] {
  const others = subjects.filter((subject) => subject !== first);
  return first === undefined ? others : [first, ...others];
}

/** Waits for the first one only. */
async function takeAll(
  directory: string,
  subjects: readonly RunSubject[],
  { signal, waitMs, ...terms }: Terms,
): Promise<{ held: HeldLock[] } | { missing: RunSubject; why: RdcError }> {
  const held: HeldLock[] = [];
  for (const [index, subject] of subjects.entries()) {
    const { key } = subject;
    const request = { ...terms, directory, key, subject: subject.subject, waitMs: index === 0 ? waitMs : 0 };
    try {
      held.push(await acquireLock(signal === undefined ? request : { ...request, signal }));
    } catch (error) {
      for (const lock of held.toReversed()) await lock.release();
      if (!isCode(error, 'BUSY')) throw error;
      return { missing: subject, why: error };
    }
  }
  return { held };
}
