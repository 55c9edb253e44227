// Writing a file whole: under another name first, which says whose it is, so that what a killed process leaves can be told from
// what one is writing just now.
import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { RdcError } from '../protocol/errors.ts';
import { listNames } from './linux-files.ts';
import { identifyProcess } from './process-identity.ts';

/** "{file}.{pid}-{ticks after boot at which that process started}.{random}.tmp" */
const TEMPORARY = /^(.+)\.(\d+)-(\d+)\.[0-9a-f]{12}\.tmp$/;

/**
 * Temp file in the same directory with its mode set before its content, fsync, rename, fsync of the directory. What writers of
 * the same file that are gone have left is removed.
 */
export async function writeFileAtomic(path: string, text: string, mode: number): Promise<void> {
  const directory = dirname(path);
  const temporary = await temporaryName(path);
  await mkdir(directory, { recursive: true });
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      // open(2) applies the umask; what was asked for counts.
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
  await removeAbandoned(directory, basename(path));
}

/** Temporary files in the directory (of one file, with `of`) whose writers are gone. Returns the paths of what was removed. */
export async function removeAbandoned(directory: string, of?: string): Promise<string[]> {
  const removed: string[] = [];
  for (const name of (await listNames(directory)) ?? []) {
    const [, file, pid, startTicks] = TEMPORARY.exec(name) ?? [];
    if (file === undefined || (of !== undefined && file !== of)) continue;
    if ((await identifyProcess(Number(pid)))?.startTicks === Number(startTicks)) continue;
    await rm(`${directory}/${name}`, { force: true });
    removed.push(`${directory}/${name}`);
  }
  return removed;
}

async function temporaryName(path: string): Promise<string> {
  const self = await identifyProcess(process.pid);
  if (self === undefined) throw new RdcError('HOST_NOT_SUITABLE', '/proc is not mounted');
  return `${path}.${self.pid}-${self.startTicks}.${randomBytes(6).toString('hex')}.tmp`;
}

/** A rename is on the disk only after the fsync of the directory (fsync(2)). */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
