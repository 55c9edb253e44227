// The reserve on the datastore: a file that takes blocks, given up when the filesystem fills, so that what is written in open
// images finds room while somebody reacts. Setup makes it, the agent gives it up and makes it again.
import type { Space } from '../lifecycle/space.ts';
import { DATASTORE_FLOOR, datastoreReserve } from '../lifecycle/space-floors.ts';
import type { System } from '../lifecycle/system.ts';
import { messageOf } from '../protocol/errors.ts';
import type { PlanStep } from '../protocol/events.ts';
import { formatSize } from '../protocol/size.ts';
import type { RunContext } from './handlers.ts';
import { reportedStep } from './reported-step.ts';

export interface DatastoreRoom {
  space: Space;
  /** Bytes that the reserve takes; 0: there is none. */
  reserveBytes: number;
}

export type ReserveVerdict = 'give-up' | 'set-aside' | 'leave';

/** undefined: the datastore is not there. */
export async function observeRoom(system: System, datastore: string): Promise<DatastoreRoom | undefined> {
  const [space, reserve] = await Promise.all([system.space(datastore), system.stat(reservePath(datastore))]);
  if (space === undefined) return undefined;
  return { space, reserveBytes: reserve?.kind === 'file' ? reserve.allocatedBytes : 0 };
}

/** Given up below the floor; set aside where three times as much is free beside the floor, so that neither follows from the other. */
export function judgeReserve({ space, reserveBytes }: DatastoreRoom): ReserveVerdict {
  const wanted = datastoreReserve(space);
  if (space.rootBytes < DATASTORE_FLOOR) return reserveBytes > 0 ? 'give-up' : 'leave';
  const isAmple = space.rootBytes >= DATASTORE_FLOOR + 3 * wanted;
  return reserveBytes < wanted && isAmple ? 'set-aside' : 'leave';
}

export async function setAside(system: System, datastore: string, { space }: DatastoreRoom): Promise<void> {
  await system.reserve(datastore, reservePath(datastore), datastoreReserve(space));
}

export async function giveUpReserve(system: System, datastore: string): Promise<void> {
  await system.reserve(datastore, reservePath(datastore), 0);
}

export function reservePath(datastore: string): string {
  return `${datastore}/.reserve`;
}

const STEP = { id: 'datastore.reserve', title: 'set a reserve aside on the datastore' };

/** What setup would do about it. */
export async function planReserve(system: System, datastore: string): Promise<PlanStep> {
  const room = await observeRoom(system, datastore);
  if (room === undefined || judgeReserve(room) === 'set-aside') return { ...STEP, expect: 'change' };
  return { ...STEP, expect: 'already', already: 'the datastore has its reserve, or no room for one' };
}

/** The last step of setup. True when it was made. Without one the machine works: a filesystem that cannot do it is told of. */
export async function setUpReserve(context: RunContext, datastore: string): Promise<boolean> {
  const { system, report } = context;
  const room = await observeRoom(system, datastore);
  if (room === undefined || judgeReserve(room) !== 'set-aside') return false;
  try {
    const size = formatSize(datastoreReserve(room.space));
    await reportedStep(
      context,
      STEP,
      () => setAside(system, datastore, room),
      () => size,
    );
    return true;
  } catch (error) {
    report({ kind: 'warning', message: `the datastore has no reserve: ${messageOf(error)}` });
    return false;
  }
}
