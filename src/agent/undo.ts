// Undoing what was begun, where it fails or is cancelled. Whatever the undoing meets, the first error is the one to tell.
import type { System } from '../lifecycle/system.ts';
import { messageOf } from '../protocol/errors.ts';
import type { RunContext } from './handlers.ts';

/** `what` was begun: "the half-made fork". Never throws: what could not be undone is told, and found by doctor and the repeated command. */
export async function undo(
  { undoing, report }: Pick<RunContext, 'undoing' | 'report'>,
  what: string,
  work: (system: System) => Promise<void>,
): Promise<void> {
  try {
    await work(undoing);
  } catch (error) {
    report({
      kind: 'warning',
      message: `${what} could not be undone: ${messageOf(error)}`,
      hint: 'the same command again, or: rdc machine doctor',
    });
  }
}
