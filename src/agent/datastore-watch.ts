// Whether the datastore fills up: its reserve is given up then, and that is told, since filesystems in sparse images cannot
// tell by themselves. One statfs(2), a few stats and a small file read per look; no program is started.
import { setTimeout as delay } from 'node:timers/promises';
import { DATASTORE_FLOOR, datastoreReserve } from '../lifecycle/space-floors.ts';
import type { System } from '../lifecycle/system.ts';
import { messageOf } from '../protocol/errors.ts';
import { formatSize } from '../protocol/size.ts';
import type { SupervisionKind } from '../protocol/supervision.ts';
import { type DatastoreRoom, giveUpReserve, judgeReserve, observeRoom, setAside } from './datastore-reserve.ts';
import { requireMachine } from './machine-record.ts';
import { DATASTORE_SUBJECT, type SupervisionRecord } from './supervision-record.ts';

export interface DatastoreWatchDeps {
  system: System;
  signal: AbortSignal;
  record: SupervisionRecord;
  /** Milliseconds since the epoch. */
  now(): number;
  tell(kind: SupervisionKind, message: string): void;
  /** Resolves after so many milliseconds, or with the signal. */
  pause?(ms: number, signal: AbortSignal): Promise<void>;
}

const CALM_MS = 30_000;
/** About what a fast disk writes in that time: with less, the looks are close. */
const CLOSE_BYTES = 4 * 1024 ** 3;
const CLOSE_MS = 1_000;

/** Resolves with the signal. Also while the supervision is switched off: it is data that this guards. */
export async function watchDatastore(deps: DatastoreWatchDeps): Promise<void> {
  const { signal, pause = pauseFor } = deps;
  let isEmptyTold = false;
  let trouble: string | undefined;
  while (!signal.aborted) {
    let room: DatastoreRoom | undefined;
    try {
      const datastore = await datastoreOf(deps.system);
      room = datastore === undefined ? undefined : await look(datastore, deps);
      if (room !== undefined && datastore !== undefined) {
        const isEmpty = room.space.rootBytes < DATASTORE_FLOOR;
        if (isEmpty && !isEmptyTold) tellEmpty(datastore, room, deps);
        isEmptyTold = isEmpty;
      }
      trouble = undefined;
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== trouble && !signal.aborted)
        deps.tell('failed', `the datastore could not be looked after: ${reason}`);
      trouble = reason;
    }
    await pause(room !== undefined && room.space.freeBytes < CLOSE_BYTES ? CLOSE_MS : CALM_MS, signal);
  }
}

/** undefined: not set up, or its filesystem is not mounted, and what is there is not the datastore. */
async function datastoreOf(system: System): Promise<string | undefined> {
  return (await requireMachine(system).catch(() => undefined))?.datastore;
}

/** What is true afterwards. */
async function look(datastore: string, { system, record, now, tell }: DatastoreWatchDeps) {
  const room = await observeRoom(system, datastore);
  if (room === undefined) return undefined;
  const verdict = judgeReserve(room);
  if (verdict === 'give-up') {
    await giveUpReserve(system, datastore);
    const after = await observeRoom(system, datastore);
    const free = formatSize((after ?? room).space.rootBytes);
    const given = `its reserve of ${formatSize(room.reserveBytes)} was given up, and ${free} are free now`;
    const reason = `the datastore ${datastore} is full: ${given}; free some space there`;
    record.giveUp(DATASTORE_SUBJECT, { since: now(), reason });
    tell('needs-attention', reason);
    return after;
  }
  if (verdict === 'set-aside') await setAside(system, datastore, room);
  const isWhole = verdict === 'set-aside' || room.reserveBytes >= datastoreReserve(room.space);
  if (isWhole && record.attention(DATASTORE_SUBJECT) !== undefined) {
    record.clear(DATASTORE_SUBJECT);
    tell('attention-cleared', `the datastore ${datastore} has room again, and its reserve`);
  }
  return verdict === 'set-aside' ? observeRoom(system, datastore) : room;
}

/** Below the floor with nothing left to give up. */
function tellEmpty(datastore: string, { space }: DatastoreRoom, { record, now, tell }: DatastoreWatchDeps): void {
  const reason = `the datastore ${datastore} is full: ${formatSize(space.rootBytes)} are free, and it has no reserve; what is written in repositories fails soon, or does already`;
  const isKnown = record.attention(DATASTORE_SUBJECT) !== undefined;
  record.giveUp(DATASTORE_SUBJECT, { since: now(), reason });
  tell(isKnown ? 'failed' : 'needs-attention', reason);
}

async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
