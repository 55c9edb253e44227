// Kernel locks that end with their holder: flock(2) held by a child of ours whose stdin is a pipe from us. Whatever
// ends this process, the pipe closes, the child ends, the lock is free. No marker has to be cleared by hand.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { RdcError } from '../protocol/errors.ts';
import { runIdSchema } from '../protocol/ids.ts';

const CONFLICT = 11;

export const lockOwnerSchema = z.object({
  run: runIdSchema,
  /** "repo up" */
  operation: z.string(),
  /** anna@laptop */
  actor: z.string(),
  /** Milliseconds since the epoch. */
  since: z.number(),
});
export type LockOwner = z.infer<typeof lockOwnerSchema>;

export interface LockRequest {
  directory: string;
  /** A GUID, "name-shop" or "machine": becomes a file name. */
  key: string;
  /** How messages call what is locked: `"shop"` or "the machine". */
  subject: string;
  owner: LockOwner;
  /** 0: refuse at once. */
  waitMs: number;
  signal?: AbortSignal;
}

export interface HeldLock {
  release(): Promise<void>;
}

/** Throws BUSY naming who holds it, since when and how to follow; CANCELLED when the signal comes first. */
export async function acquireLock(request: LockRequest): Promise<HeldLock> {
  const { directory, key, owner, waitMs } = request;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = `${directory}/${key}.lock`;
  const ownerFile = `${directory}/${key}.json`;
  const patience = waitMs === 0 ? ['--nonblock'] : ['--timeout', String(Math.ceil(waitMs / 1000))];
  const holder = spawn(
    'flock',
    [...patience, '--conflict-exit-code', String(CONFLICT), file, 'sh', '-c', 'echo held; exec cat'],
    {
      stdio: 'pipe',
      // Not in our process group: a Ctrl-C in a terminal is ours to handle.
      detached: true,
      env: { PATH: '/usr/bin:/bin' },
    },
  );
  if (!(await isHeld(holder, request.signal))) throw await busy(request, ownerFile);
  await writeFile(ownerFile, JSON.stringify(owner), { mode: 0o600 });
  return {
    async release() {
      await rm(ownerFile, { force: true });
      const ended = new Promise((resolve) => holder.once('close', resolve));
      holder.stdin.end();
      await ended;
    },
  };
}

/** Who holds a lock now, as far as the owner's record tells. */
export async function lockOwner(directory: string, key: string): Promise<LockOwner | undefined> {
  return readOwner(`${directory}/${key}.json`);
}

function isHeld(holder: ChildProcessWithoutNullStreams, signal: AbortSignal | undefined): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      holder.kill('SIGKILL');
      reject(new RdcError('CANCELLED', 'the run was cancelled while it waited'));
    };
    const settle = (value: boolean) => {
      signal?.removeEventListener('abort', onAbort);
      resolve(value);
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    holder.stdin.on('error', () => undefined);
    holder.stdout.once('data', () => settle(true));
    holder.once('error', (error) =>
      reject(new RdcError('TOOL_MISSING', 'the program "flock" is not on this machine', { cause: error })),
    );
    holder.once('close', (code) => {
      if (code === CONFLICT) settle(false);
      else reject(new RdcError('INTERNAL', `the lock could not be taken (flock ended with ${code ?? 'a signal'})`));
    });
  });
}

async function busy({ subject, waitMs }: LockRequest, ownerFile: string): Promise<RdcError> {
  const owner = await readOwner(ownerFile);
  const waited = waitMs === 0 ? '' : ` (waited ${Math.round(waitMs / 1000)} s)`;
  if (owner === undefined) return new RdcError('BUSY', `${subject} is being changed by somebody else${waited}`);
  const since = new Date(owner.since).toTimeString().slice(0, 5);
  return new RdcError(
    'BUSY',
    `${subject} is being changed since ${since} by ${owner.actor} (${owner.operation}, run ${owner.run})${waited}`,
    {
      hint: `rdc run attach ${owner.run}`,
    },
  );
}

async function readOwner(path: string): Promise<LockOwner | undefined> {
  try {
    return lockOwnerSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    // Absent or half written: the lock itself is the truth, this is only its label.
    if (
      error instanceof SyntaxError ||
      error instanceof z.ZodError ||
      (error instanceof Error && 'code' in error && error.code === 'ENOENT')
    ) {
      return undefined;
    }
    throw error;
  }
}
