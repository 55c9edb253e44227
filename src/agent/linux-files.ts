// Files of the server. Absent is an answer and no error. Writing is in atomic-file.ts.
import { constants, readdirSync, readFileSync } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, rmdir, statfs, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Space, spaceOf } from '../lifecycle/space.ts';
import type { FileStat } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';

/** Far above everything that is read whole; a repository may hold a file of any size under any name. */
const LARGEST_TEXT = 16 * 1024 ** 2;

/**
 * What the kernel makes in memory when it is asked, without waiting for a disk or another process (sysfs(5), proc_pid_stat(5) and
 * its neighbours; not cmdline and environ, which are that process's own memory). Read in place, it takes a tenth of the time that
 * the way through the thread pool does, and one look at a repository asks for five files of each that is open.
 */
const KERNEL_TEXT = /^(\/sys\/|\/proc\/sys\/|\/proc\/(self|\d+)\/(stat|comm|cgroup|mountinfo)$)/;

export function readText(path: string): Promise<string | undefined> {
  return orAbsent(KERNEL_TEXT.test(path) ? readAtOnce(path) : readRegular(path));
}

async function readAtOnce(path: string): Promise<string> {
  return readFileSync(path, 'utf8');
}

/** Whoever writes in a repository may put a fifo or a device in the place of a file: waiting for one would hold up the agent for all. */
async function readRegular(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new RdcError('INVALID_INPUT', `${path} is no regular file`);
    if (found.size > LARGEST_TEXT) throw new RdcError('INVALID_INPUT', `${path} is too large to be read`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

export async function makeDirectory(path: string, mode: number): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode });
  if (first === undefined) return;
  // mkdir(2) applies the umask, too: from the directory that was asked for up to the first that was made.
  for (let made = path; made.length >= first.length; made = dirname(made)) await chmod(made, mode);
}

/** Names in byte order; undefined when the directory does not exist. */
export async function listNames(path: string): Promise<string[] | undefined> {
  const names = await orAbsent(path.startsWith('/sys/') ? listAtOnce(path) : readdir(path, 'buffer'));
  return names?.sort(Buffer.compare).map((name) => name.toString('utf8'));
}

async function listAtOnce(path: string): Promise<Buffer[]> {
  return readdirSync(path, 'buffer');
}

/** Removes a file or an empty directory; absent is fine. */
export async function remove(path: string): Promise<void> {
  const found = await statPath(path);
  if (found === undefined) return;
  await orAbsent(found.kind === 'directory' ? rmdir(path) : unlink(path));
}

/** lstat(2): a symlink is reported as such. */
export async function statPath(path: string): Promise<FileStat | undefined> {
  const found = await orAbsent(lstat(path));
  if (found === undefined) return undefined;
  return {
    kind: kindOf(found),
    sizeBytes: found.size,
    allocatedBytes: found.blocks * 512,
    mode: found.mode & 0o7777,
    uid: found.uid,
    gid: found.gid,
  };
}

export async function spaceAt(path: string): Promise<Space | undefined> {
  const found = await orAbsent(statfs(path));
  return found === undefined ? undefined : spaceOf(found);
}

interface KindTests {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isSocket(): boolean;
}

function kindOf(found: KindTests): FileStat['kind'] {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  if (found.isSymbolicLink()) return 'symlink';
  return found.isSocket() ? 'socket' : 'other';
}

/** ENODEV and ESRCH: opened, and then its device was taken away (sysfs(5)), or its process ended (proc(5)). */
const ABSENT: readonly (string | undefined)[] = ['ENOENT', 'ENOTDIR', 'ENODEV', 'ESRCH'];

/** undefined for what is not there, or not any more. */
export async function orAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (ABSENT.includes(codeOf(error))) return undefined;
    throw error;
  }
}

/** "ENOENT" and the like; undefined for what is no error of the operating system. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
