// How the last up() or down() of a repository went, in its record: what is cut off in between must not look whole.
import { messageOf } from '../protocol/errors.ts';
import type { RunContext } from './handlers.ts';
import type { Workbench } from './repo-workbench.ts';

/** "begun" and "stopping" are of a run that goes on, or was cut off. */
export type UpOutcome = 'begun' | 'done' | 'partial' | 'failed' | 'stopping';

/** Whether every service may be where the last up() left it. Records of before have no "begun". */
export function hasEnded(outcome: string | undefined): boolean {
  return outcome !== 'begun' && outcome !== 'stopping';
}

/** On a full datastore what is up is up all the same: that it could not be noted is told. */
export async function noteLastUp(
  { store, record }: Pick<Workbench, 'store' | 'record'>,
  { run, report }: RunContext,
  outcome: UpOutcome,
  reason = '',
): Promise<void> {
  try {
    const why = reason === '' ? {} : { reason };
    await store.save({ ...record, lastUp: { run, outcome, at: Date.now(), ...why } });
  } catch (error) {
    report({ kind: 'warning', message: `how it went could not be noted: ${messageOf(error)}` });
  }
}
