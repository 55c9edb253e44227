// Where in the repository a transfer goes. A link may lead about inside the repository, never out of it; what is found
// here is found again by rsync inside its own view (rsync-sandbox.ts), where nothing else can be reached anyway.
import { lstat, realpath, stat } from 'node:fs/promises';
import { RdcError } from '../protocol/errors.ts';
import { codeOf, orAbsent } from './linux-files.ts';

export interface Place {
  existing: string;
  missing: string;
}

/** `directory` is relative to the mount; "" is the mount itself. Throws INVALID_INPUT, or NOT_FOUND where it must be there. */
export async function findPlace(mountPoint: string, directory: string, mustExist: boolean): Promise<Place> {
  const parts = directory.split('/').filter((part) => part !== '' && part !== '.');
  const hasControl = [...directory].some((character) => character < ' ');
  if (directory.startsWith('/') || parts.includes('..') || hasControl) throw outside(directory);
  if (parts[0] === '.rediacc')
    throw new RdcError('INVALID_INPUT', '".rediacc" of a repository is not for files of yours');
  const top = await realpath(mountPoint);
  for (let there = parts.length; ; there--) {
    const wanted = [mountPoint, ...parts.slice(0, there)].join('/');
    const found = await resolve(wanted);
    if (found === undefined) continue;
    if (found !== top && !found.startsWith(`${top}/`)) throw outside(directory);
    if (found === `${top}/.rediacc` || found.startsWith(`${top}/.rediacc/`)) throw outside(directory);
    if (!(await stat(found)).isDirectory()) throw new RdcError('INVALID_INPUT', `"${directory}" is not a directory`);
    const missing = parts.slice(there).join('/');
    if (mustExist && missing !== '') {
      throw new RdcError('NOT_FOUND', `there is no directory "${directory}" in the repository`);
    }
    return { existing: `${mountPoint}${found.slice(top.length)}`, missing };
  }
}

/** undefined: not there. A link to nowhere is there, and leads nowhere. */
async function resolve(path: string): Promise<string | undefined> {
  const found = await orAbsent(realpath(path).catch(loop));
  if (found !== undefined || (await orAbsent(lstat(path))) === undefined) return found;
  throw new RdcError('INVALID_INPUT', `"${path.slice(path.lastIndexOf('/') + 1)}" is a link that leads nowhere`);
}

function loop(error: unknown): undefined {
  if (codeOf(error) === 'ELOOP') return undefined;
  throw error;
}

function outside(directory: string): RdcError {
  return new RdcError('INVALID_INPUT', `"${directory}" does not lie inside the repository`, {
    hint: 'name a directory relative to the top of the repository, e.g. --remote backend/data',
  });
}
