// repo rescue: the reserve of a full volume is given up, so that its docker daemon starts and things can be deleted. It also
// tells what takes the most, since that is what to delete.
import { command } from '../lifecycle/command.ts';
import { planSteps } from '../lifecycle/run-plan.ts';
import { reportSpace, type Space } from '../lifecycle/space.ts';
import { isAmple, isBelowFloor, volumeFloor } from '../lifecycle/space-floors.ts';
import type { PlanStep } from '../protocol/events.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { formatSize } from '../protocol/size.ts';
import type { Finished, RunContext } from './handlers.ts';
import { largestFiles } from './largest-files.ts';
import { openVolume, stepsOf } from './open-volume.ts';
import { stateOf } from './repo-queries.ts';
import { identity, openSteps } from './repo-volume.ts';
import { openWorkbench, type Workbench } from './repo-workbench.ts';
import { reportedStep } from './reported-step.ts';
import { reserveBytes, volumeSpace } from './volume-space.ts';

type Output = OutputOf<'repo.rescue'>;

const STEP = { id: 'volume.rescue', title: 'give up the reserve' };

export async function rescueRepo(input: InputOf<'repo.rescue'>, context: RunContext): Promise<Finished<Output>> {
  const { system } = context;
  const bench = await openWorkbench(context, input.repo);
  const opening = await openSteps(bench, context, { credential: input.credential, toDelete: true });
  if (context.dryRun) {
    const facts = await bench.observe();
    const last: PlanStep = { ...STEP, expect: facts.mounted ? await expected(bench, context) : 'unknown' };
    context.report({ kind: 'plan', steps: [...planSteps(stepsOf(opening), facts), last] });
    return { outcome: 'planned' };
  }
  const opened = await openVolume(bench, context, opening);
  const { target, record } = bench;
  const isDue = (await expected(bench, context)) === 'change';
  const freedBytes = isDue ? await giveUp(bench, context) : 0;
  const space = await volumeSpace(system, target);
  const lacking = lackOf(space);
  const { takers, isWhole } = await largestFiles(
    system,
    target.paths.mountPoint,
    lacking === 'inodes' ? 'inodes' : 'bytes',
  );
  const state = stateOf(await bench.observe(), record.lastUp?.outcome);
  return {
    outcome: 'done',
    output: {
      ...identity(bench),
      state,
      changed: opened || isDue,
      freedBytes,
      space: reportSpace(space),
      ...(lacking === undefined ? {} : { lacking }),
      mountPoint: target.paths.mountPoint,
      largest: takers,
      isWhole,
    },
  };
}

async function expected({ target }: Workbench, { system }: RunContext): Promise<'change' | 'already'> {
  const isHeld = (await reserveBytes(system, target)) > 0;
  return isHeld && !isAmple(await volumeSpace(system, target)) ? 'change' : 'already';
}

/** Bytes that root can write more by now. */
async function giveUp({ target }: Workbench, context: RunContext): Promise<number> {
  const { system } = context;
  const { mountPoint, reserve } = target.paths;
  const before = await volumeSpace(system, target);
  const release = async () => {
    await system.reserve(mountPoint, reserve, 0);
    // With discard, blocks are free to be taken once the journal has the removal.
    await system.run(command('sync', '--file-system', mountPoint));
    return Math.max(0, (await volumeSpace(system, target)).rootBytes - before.rootBytes);
  };
  return reportedStep(context, STEP, release, (freed) => `${formatSize(freed)} are free now`);
}

/** What is too little for `up`. */
function lackOf(space: Space): Output['lacking'] {
  if (!isBelowFloor(space)) return undefined;
  return space.rootBytes < volumeFloor(space).bytes ? 'bytes' : 'inodes';
}
