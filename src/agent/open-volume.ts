// Opening a volume where the datastore may be full. An unclean filesystem is seen as such only in the open volume, so with
// little room the opening stops there for a look, and closes again where the journal could not be replayed.
import { ext4Superblock, parseExt4 } from '../lifecycle/ext4.ts';
import type { RepoFacts } from '../lifecycle/facts.ts';
import type { Space } from '../lifecycle/space.ts';
import {
  mayLackReplayRoom,
  type Room,
  refuseFullDatastore,
  refuseReplayWithoutRoom,
} from '../lifecycle/space-floors.ts';
import type { Step } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import type { RunContext } from './handlers.ts';
import { carryOut, closeQuietly, type Workbench } from './repo-workbench.ts';
import { undo } from './undo.ts';

export interface Opening {
  /** Somebody has opened it before. */
  wasOpen: boolean;
  /** Up to the open mapping. */
  open: Step<RepoFacts>[];
  /** From there to a mounted volume under its unit. */
  mount: Step<RepoFacts>[];
}

export function stepsOf({ open, mount }: Opening): Step<RepoFacts>[] {
  return [...open, ...mount];
}

/** Throws NO_SPACE before anything is touched. A preallocated image needs no room: it has it. */
export async function refuseWithoutRoom(bench: Workbench, system: System): Promise<void> {
  refuseFullDatastore(bench.target, await replayRoom(bench, system), 'open');
}

/** Carries the opening out, or plans it. True when something changed. */
export async function openVolume(bench: Workbench, context: RunContext, opening: Opening): Promise<boolean> {
  const { target } = bench;
  const room = await replayRoom(bench, context.system);
  const isSafe = context.dryRun || !mayLackReplayRoom(room) || (await bench.observe()).mounted;
  if (isSafe) return carryOut(bench, context, stepsOf(opening));
  const opened = await carryOut(bench, context, opening.open);
  try {
    // 1: no filesystem that it knows. Mounting tells that better.
    const { stdout } = await context.system.run({ ...ext4Superblock(target.paths.mapperDevice), allow: [1] });
    refuseReplayWithoutRoom(target, room, parseExt4(stdout));
  } catch (error) {
    await undo(context, 'the opening', (lasting) => closeQuietly(lasting, bench));
    throw error;
  }
  const mounted = await carryOut(bench, context, opening.mount);
  return opened || mounted;
}

/** What a journal may need for its replay. A preallocated image has all of it. */
export async function replayRoom({ target }: Workbench, system: System): Promise<Room> {
  if (target.preallocated) return { rootBytes: Number.POSITIVE_INFINITY };
  return datastoreSpace(system, target.datastore);
}

async function datastoreSpace(system: System, datastore: string): Promise<Space> {
  const space = await system.space(datastore);
  if (space === undefined) throw new RdcError('HOST_NOT_SUITABLE', `the datastore "${datastore}" is not there`);
  return space;
}
