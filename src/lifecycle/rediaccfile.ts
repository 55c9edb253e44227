// Which Rediaccfiles a mounted repository has, and in which order they are called. Root first, then the first-level
// directories in byte order; names in any letter case; directories that start with "." are not looked at.
import { RdcError } from '../protocol/errors.ts';
import type { System } from './system.ts';

export interface Rediaccfile {
  /** Directory relative to the mount; "" is the root. */
  directory: string;
  /** As it is spelled: "Rediaccfile", "rediaccfile". */
  file: string;
  /** Absolute directory. */
  path: string;
}

/** How messages and output name it: "root" or the directory. */
export function labelOf({ directory }: Pick<Rediaccfile, 'directory'>): string {
  return directory === '' ? 'root' : directory;
}

/** In the order of `up`. Throws INVALID_INPUT where one directory has two candidates. */
export async function findRediaccfiles(system: System, mountPoint: string): Promise<Rediaccfile[]> {
  const names = (await system.list(mountPoint)) ?? [];
  const found: Rediaccfile[] = [];
  const root = await candidateIn(system, mountPoint, names);
  if (root !== undefined) found.push({ directory: '', file: root, path: mountPoint });
  for (const name of names.filter((entry) => !entry.startsWith('.'))) {
    const path = `${mountPoint}/${name}`;
    // lstat: a link to a directory elsewhere is not followed.
    if ((await system.stat(path))?.kind !== 'directory') continue;
    const file = await candidateIn(system, path, (await system.list(path)) ?? []);
    if (file !== undefined) found.push({ directory: name, file, path });
  }
  return found;
}

async function candidateIn(system: System, path: string, names: readonly string[]): Promise<string | undefined> {
  const candidates: string[] = [];
  for (const name of names.filter((entry) => entry.toLowerCase() === 'rediaccfile')) {
    if ((await system.stat(`${path}/${name}`))?.kind === 'file') candidates.push(name);
  }
  if (candidates.length > 1) {
    throw new RdcError('INVALID_INPUT', `${path} has two Rediaccfiles: ${candidates.join(' and ')}`, {
      hint: 'keep one of them',
    });
  }
  return candidates[0];
}
