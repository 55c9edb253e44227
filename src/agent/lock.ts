// Kernel locks that end with their holder: flock(2) held by a child of ours whose stdin is a pipe from us. Whatever ends
// this process, the pipe closes, the child ends, the lock is free. No marker has to be cleared by hand, and a second
// daemon (during an upgrade) is kept out as well as a second run of this one.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { RdcError } from '../protocol/errors.ts';
import { type LockOwner, lockOwners, removeLabel, writeLabel } from './lock-owner.ts';
import { cancellation, SEARCH_PATH } from './run-command.ts';

/** flock(1)'s exit code for "somebody else holds it"; its own errors are sysexits(3) codes from 64 on. */
const CONFLICT = 11;
/** Milliseconds after which a person is told what is waited for. */
const TELL_AFTER_MS = 500;
/** How long our own upkeep is waited for by those who would not wait. */
const UPKEEP_MS = 10_000;
/** Holders that were gone before they could be named, after which nobody is named. */
const MOST_NAMELESS = 3;

export interface LockRequest {
  directory: string;
  /** A GUID, "name-shop" or "machine": becomes a file name. */
  key: string;
  /** How messages call what is locked: `"shop"` or "the machine". */
  subject: string;
  owner: Omit<LockOwner, 'since'>;
  /** true: held together with other shared holders, never with an exclusive one. */
  shared?: boolean;
  /** 0: refuse at once. Otherwise it is taken as soon as it is free. */
  waitMs: number;
  signal?: AbortSignal;
  /** Called at most once, when it was not free at once: with what a refusal would have said. */
  onWait?: ((why: RdcError) => void) | undefined;
}

export interface HeldLock {
  release(): Promise<void>;
  /** Called when the holder was killed by somebody and the lock is gone; not after a release. */
  onLost(listener: () => void): void;
}

/** Throws BUSY naming who holds it, since when and how to follow; CANCELLED when the signal comes first. */
export async function acquireLock(request: LockRequest): Promise<HeldLock> {
  const { directory, key, owner } = request;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { holder, pid } = await hold(request);
  const lost = watchHolder(holder);
  try {
    await writeLabel(directory, key, { ...owner, since: Date.now() }, pid);
  } catch (error) {
    await endHolder(holder);
    throw error;
  }
  return {
    async release() {
      lost.ignore();
      await removeLabel(directory, key, pid).finally(() => endHolder(holder));
    },
    onLost: lost.listen,
  };
}

/** Throws as acquireLock does. */
async function hold(request: LockRequest): Promise<{ holder: ChildProcessWithoutNullStreams; pid: number }> {
  let { waitMs } = request;
  for (let nameless = 0, isPatient = false; ; ) {
    const holder = startHolder({ ...request, waitMs });
    // Who it is may be untellable; the waiting goes on all the same.
    const telling = setTimeout(() => void tellOwner(request).catch(() => undefined), TELL_AFTER_MS);
    const pid = await untilHeld(holder, request.signal).finally(() => clearTimeout(telling));
    if (pid !== undefined) return { holder, pid };
    const other = await ownerSoon(request.directory, request.key);
    const isUpkeep = request.waitMs === 0 && other?.isUpkeep === true && request.owner.isUpkeep !== true;
    if (other === undefined && nameless < MOST_NAMELESS) {
      // It has gone, most likely.
      nameless += 1;
      waitMs = 0;
    } else if (isUpkeep && !isPatient) {
      isPatient = true;
      waitMs = UPKEEP_MS;
    } else {
      throw busy(request, other);
    }
  }
}

/** flock(1) becomes `cat`, which echoes our first byte once it runs: then the lock is held. */
function startHolder({ directory, key, shared, waitMs }: LockRequest): ChildProcessWithoutNullStreams {
  const patience = waitMs === 0 ? ['--nonblock'] : ['--timeout', (waitMs / 1000).toFixed(3)];
  const kind = shared === true ? '--shared' : '--exclusive';
  const options = [kind, ...patience, '--conflict-exit-code', String(CONFLICT), '--no-fork'];
  const holder = spawn('flock', [...options, `${directory}/${key}.lock`, 'cat'], {
    stdio: 'pipe',
    // Not in our process group: what is sent to that is not meant for the lock.
    detached: true,
    env: { PATH: SEARCH_PATH },
  });
  // It may end before it reads; its exit code tells more.
  holder.stdin.on('error', () => undefined);
  holder.stdin.write('?');
  return holder;
}

/** Its pid once it holds the lock; undefined when somebody else does. */
function untilHeld(
  holder: ChildProcessWithoutNullStreams,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      holder.kill('SIGKILL');
      reject(cancellation(signal));
    };
    const settle = (pid: number | undefined) => {
      signal?.removeEventListener('abort', onAbort);
      resolve(pid);
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    holder.stdout.once('data', () => settle(holder.pid));
    holder.once('error', (error) =>
      reject(new RdcError('TOOL_MISSING', 'the program "flock" is not on this machine', { cause: error })),
    );
    holder.once('close', (code) => {
      if (code === CONFLICT) settle(undefined);
      else reject(new RdcError('INTERNAL', `the lock could not be taken (flock ended with ${code ?? 'a signal'})`));
    });
  });
}

function watchHolder(holder: ChildProcessWithoutNullStreams) {
  let listener: () => void = () => undefined;
  holder.once('close', () => listener());
  return {
    listen(onLost: () => void) {
      listener = onLost;
      if (holder.exitCode !== null || holder.signalCode !== null) onLost();
    },
    ignore() {
      listener = () => undefined;
    },
  };
}

function endHolder(holder: ChildProcessWithoutNullStreams): Promise<void> {
  return new Promise((resolve) => {
    if (holder.exitCode !== null || holder.signalCode !== null) return resolve();
    holder.once('close', () => resolve());
    holder.stdin.end();
  });
}

async function tellOwner(request: LockRequest): Promise<void> {
  if (request.waitMs === 0) return;
  const owner = await ownerSoon(request.directory, request.key);
  request.onWait?.(busy({ ...request, waitMs: 0 }, owner));
}

function busy({ subject, waitMs }: LockRequest, owner: LockOwner | undefined): RdcError {
  const waited = waitMs === 0 ? '' : `; waited ${Math.round(waitMs / 1000)} s`;
  if (owner === undefined) return new RdcError('BUSY', `${subject} is being changed by somebody else${waited}`);
  const { run, operation, actor, since } = owner;
  const how = run === undefined ? 'in use' : 'being changed';
  const what = run === undefined ? operation : `${operation}, run ${run}`;
  return new RdcError('BUSY', `${subject} is ${how} since ${clockTime(since)} by ${actor} (${what})${waited}`, {
    hint: run === undefined ? 'wait for it with --wait' : `rdc run attach ${run}`,
  });
}

/** Who came just before us has the lock a moment before its label. */
async function ownerSoon(directory: string, key: string): Promise<LockOwner | undefined> {
  for (let tries = 5; ; tries--) {
    const [owner] = await lockOwners(directory, key);
    if (owner !== undefined || tries === 0) return owner;
    await sleep(50);
  }
}

/** "10:02", the server's clock; with the day where it was not today. */
function clockTime(at: number): string {
  const then = new Date(at);
  const time = then.toTimeString().slice(0, 5);
  if (then.toDateString() === new Date().toDateString()) return time;
  const day = [then.getMonth() + 1, then.getDate()].map((part) => String(part).padStart(2, '0'));
  return `${then.getFullYear()}-${day.join('-')} ${time}`;
}
