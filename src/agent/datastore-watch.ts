// Whether the datastore fills up: its reserve is given up then, and that is told, since filesystems in sparse images cannot
// tell by themselves. One statfs(2), a few stats and a small file read per look; no program is started.
import { setTimeout as delay } from 'node:timers/promises';
import { DATASTORE_FLOOR, datastoreReserve } from '../lifecycle/space-floors.ts';
import type { System } from '../lifecycle/system.ts';
import { messageOf, RdcError } from '../protocol/errors.ts';
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
const CLOSE_MS = 1_000;
/** Looks are as far apart as a disk that writes a gibibyte a second needs for all that is free. */
const FASTEST_BYTES_PER_MS = 1024 ** 3 / 1000;
/** After a reserve could not be set aside. */
const TRY_AGAIN_MS = 3600_000;

interface WatchState {
  isEmptyTold: boolean;
  trouble?: string | undefined;
  /** Milliseconds since the epoch: no reserve is set aside before. */
  notBefore: number;
}

/** Resolves with the signal. Also while the supervision is switched off: it is data that this guards. */
export async function watchDatastore(deps: DatastoreWatchDeps): Promise<void> {
  const { signal, pause = pauseFor } = deps;
  const state: WatchState = { isEmptyTold: false, notBefore: 0 };
  while (!signal.aborted) {
    let room: DatastoreRoom | undefined;
    try {
      const datastore = await datastoreOf(deps.system);
      room = datastore === undefined ? undefined : await look(datastore, state, deps);
      if (room !== undefined && datastore !== undefined) {
        const { rootBytes } = room.space;
        if (rootBytes < DATASTORE_FLOOR && !state.isEmptyTold) tellEmpty(datastore, room, deps);
        // Around the floor it is told once.
        state.isEmptyTold = rootBytes < (state.isEmptyTold ? 2 * DATASTORE_FLOOR : DATASTORE_FLOOR);
      }
      if (deps.now() >= state.notBefore) state.trouble = undefined;
    } catch (error) {
      tellTrouble(error, state, deps);
    }
    const fillsIn = room === undefined ? CALM_MS : room.space.rootBytes / FASTEST_BYTES_PER_MS;
    await pause(Math.min(CALM_MS, Math.max(CLOSE_MS, fillsIn)), signal);
  }
}

function tellTrouble(error: unknown, state: WatchState, { signal, tell }: DatastoreWatchDeps): void {
  const reason = messageOf(error);
  if (reason !== state.trouble && !signal.aborted) tell('failed', `the datastore could not be looked after: ${reason}`);
  state.trouble = reason;
}

/** undefined: not set up, or its filesystem is not mounted, and what is there is not the datastore. */
async function datastoreOf(system: System): Promise<string | undefined> {
  return (await requireMachine(system).catch(() => undefined))?.datastore;
}

/** What is true afterwards. */
async function look(datastore: string, state: WatchState, deps: DatastoreWatchDeps) {
  const { system, record, now, tell } = deps;
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
  const hasRoom = verdict === 'set-aside' || room.reserveBytes >= datastoreReserve(room.space);
  if (hasRoom && record.attention(DATASTORE_SUBJECT) !== undefined) {
    record.clear(DATASTORE_SUBJECT);
    tell('attention-cleared', `the datastore ${datastore} has room again`);
  }
  return verdict === 'set-aside' && now() >= state.notBefore ? makeReserve(datastore, room, state, deps) : room;
}

async function makeReserve(datastore: string, room: DatastoreRoom, state: WatchState, deps: DatastoreWatchDeps) {
  const wanted = datastoreReserve(room.space);
  try {
    await setAside(deps.system, datastore, room);
    const after = await observeRoom(deps.system, datastore);
    if (after !== undefined && after.reserveBytes < wanted) {
      throw new RdcError('HOST_NOT_SUITABLE', 'its filesystem takes no blocks for a reserve');
    }
    return after;
  } catch (error) {
    state.notBefore = deps.now() + TRY_AGAIN_MS;
    tellTrouble(error, state, deps);
    return room;
  }
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
