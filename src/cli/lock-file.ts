// One writer at a time for a file that several rdc may change. The lock is a file made with O_EXCL that names its
// owner; a dead owner's lock is cleared by exactly one of those who wait.
import { open, readFile, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { RdcError } from '../protocol/errors.ts';
import { processIdentity } from './playground/process-identity.ts';

/** Work under the lock takes milliseconds: whoever holds it for longer is stuck. */
const PATIENCE_MS = 10_000;
/** An owner that cannot be asked (another host on a shared home, a half-written lock) counts as dead after this. */
const FORGOTTEN_MS = 60_000;
const POLL_MS = 25;

interface Owner {
  pid: number;
  host: string;
  /** See process-identity.ts; absent where the system has no /proc. */
  process?: string;
}

/** Throws BUSY when the lock cannot be had in time. */
export async function withFileLock<T>(path: string, work: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  const deadline = Date.now() + patienceMs;
  while (!(await create(path))) {
    if (await isAbandoned(path)) await clear(path);
    else if (Date.now() > deadline) throw await stuck(path);
    else await sleep(POLL_MS);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function create(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      const identity = await processIdentity(process.pid);
      const owner: Owner = {
        pid: process.pid,
        host: hostname(),
        ...(identity === undefined ? {} : { process: identity }),
      };
      await file.writeFile(JSON.stringify(owner));
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const owner = await readOwner(path);
  if (owner !== undefined && owner.host === hostname()) return !(await isAlive(owner));
  const age = await ageOf(path);
  return age !== undefined && age > FORGOTTEN_MS;
}

async function isAlive(owner: Owner): Promise<boolean> {
  if (owner.process !== undefined) return (await processIdentity(owner.pid)) === owner.process;
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** Two who find the same dead owner must not clear twice: the second would take away the lock that the first has made since. */
async function clear(path: string): Promise<void> {
  const turn = `${path}.clearing`;
  if (!(await create(turn))) {
    const age = await ageOf(turn);
    if (age !== undefined && age > PATIENCE_MS) await rm(turn, { force: true });
    return await sleep(POLL_MS);
  }
  try {
    if (await isAbandoned(path)) await rm(path, { force: true });
  } finally {
    await rm(turn, { force: true });
  }
}

async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    const owner: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof owner === 'object' && owner !== null && 'pid' in owner && 'host' in owner
      ? (owner as Owner)
      : undefined;
  } catch (error) {
    // Gone in between, or not yet written.
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function ageOf(path: string): Promise<number | undefined> {
  try {
    return Date.now() - (await stat(path)).mtimeMs;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function stuck(path: string): Promise<RdcError> {
  const owner = await readOwner(path);
  const who = owner === undefined ? 'another rdc' : `process ${owner.pid} on ${owner.host}`;
  return new RdcError('BUSY', `${path} is held by ${who}`, { hint: `if no rdc is running there: rm ${path}` });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
