// Files of the server. Absent is an answer and no error. Writing is in atomic-file.ts.
import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, rmdir, statfs, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Space, spaceOf } from '../lifecycle/space.ts';
import type { FileStat } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';

/** Far above everything that is read whole; a repository may hold a file of any size under any name. */
const LARGEST_TEXT = 16 * 1024 ** 2;

export function readText(path: string): Promise<string | undefined> {
  return orAbsent(readRegular(path));
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
  const names = await orAbsent(readdir(path, 'buffer'));
  return names?.sort(Buffer.compare).map((name) => name.toString('utf8'));
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
