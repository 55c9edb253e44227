// --force of unmount and down: a person sees whom it would end, and is asked, before anything is done.
import { RdcError } from '../protocol/errors.ts';
import type { PlanStep } from '../protocol/events.ts';
import { flag } from './command.ts';
import type { CommandContext } from './context.ts';
import { describePlan } from './plan-text.ts';
import type { RepositoryTarget } from './target.ts';

export const force = flag('--force', 'end the processes and mounts that hold the volume; asks first');

/** Steps of a plan that end somebody (agent/held-volume.ts). */
const ENDS = /^end\./;

/** `plan`: of a dry run with `force`. Throws CONFIRMATION_NEEDED, or CANCELLED where the answer is no. Asks nothing where nobody holds it. */
export async function confirmForce(
  { io, ask }: CommandContext,
  { name, machine }: RepositoryTarget,
  words: string,
  plan: readonly PlanStep[],
): Promise<void> {
  const ends = plan.filter(({ id }) => ENDS.test(id));
  if (ends.length === 0) return;
  if (!io.canAsk) {
    throw new RdcError('CONFIRMATION_NEEDED', `--force ends what holds the volume of repository "${name}"`, {
      hint: `rdc ${words} -m ${machine.name} --force --yes   (--dry-run in the place of --yes shows whom)`,
    });
  }
  io.say(describePlan(ends, { actions: false, paint: io.paintErr }));
  if (await ask.confirm(`End them and close the volume of "${name}"?`)) return;
  throw new RdcError('CANCELLED', 'nothing was changed');
}
