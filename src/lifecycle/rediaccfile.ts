// Which Rediaccfiles a mounted repository has, and in which order they are called. Root first, then the first-level
// directories in byte order; names in any letter case; directories that start with "." are not looked at.
import { RdcError } from '../protocol/errors.ts';
import { isFileInside, kindOf, realPathInside } from './inside-mount.ts';
import type { System } from './system.ts';
import { refuseForeignNames } from './utf8-names.ts';

export interface Rediaccfile {
  /** Directory relative to the mount; "" is the root. */
  directory: string;
  /** As it is spelled: "Rediaccfile", "rediaccfile". */
  file: string;
  /** Absolute directory. */
  path: string;
}

/** How messages and output name it: "root" or the directory, on one line; "root/" is a directory of that name. */
export function labelOf({ directory }: Pick<Rediaccfile, 'directory'>): string {
  if (directory === '') return 'root';
  return directory === 'root' ? 'root/' : printable(directory);
}

/** Relative to the mount, for messages: "backend/Rediaccfile". */
export function nameOf({ directory, file }: Pick<Rediaccfile, 'directory' | 'file'>): string {
  return printable(directory === '' ? file : `${directory}/${file}`);
}

/** Control characters as JSON writes them: a name may hold a line end. */
export function printable(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return name.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, (character) =>
    character === '\n' ? '\\n' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * In the order of `up`. Throws INVALID_INPUT where one directory has two candidates, where one is no file or lies
 * outside of the mount, and where a name is no UTF-8.
 */
export async function findRediaccfiles(system: System, mountPoint: string): Promise<Rediaccfile[]> {
  const names = sortBytes((await system.list(mountPoint)) ?? []);
  await refuseForeignNames(system, mountPoint, names);
  const found: Rediaccfile[] = [];
  const root = await candidateIn(system, mountPoint, { directory: '', path: mountPoint });
  if (root !== undefined) found.push(root);
  for (const name of names.filter((entry) => !entry.startsWith('.'))) {
    const path = `${mountPoint}/${name}`;
    const kind = (await system.stat(path))?.kind;
    if (kind !== 'directory' && kind !== 'symlink') continue;
    const file = await candidateIn(system, mountPoint, { directory: name, path });
    if (file === undefined) continue;
    if (kind === 'symlink') await checkLink(system, mountPoint, file, names);
    found.push(file);
  }
  return found;
}

/** A link to a directory may lead to any place of the mount that is not called under its own name already. */
async function checkLink(
  system: System,
  mountPoint: string,
  { directory, path }: Rediaccfile,
  names: readonly string[],
): Promise<void> {
  const target = await realPathInside(system, mountPoint, path);
  if (target === undefined) {
    throw new RdcError(
      'INVALID_INPUT',
      `the link ${path} leads out of the repository, to a directory with a Rediaccfile`,
      {
        hint: 'put the directory itself in its place, or remove the link',
      },
    );
  }
  if (target === '' || (names.includes(target) && !target.startsWith('.'))) {
    const other = target === '' ? 'the root' : `"${printable(target)}"`;
    throw new RdcError('INVALID_INPUT', `the link ${path} leads to ${other}: its Rediaccfile would be called twice`, {
      hint: `rename the link to ".${printable(directory)}": names with a dot are not looked at`,
    });
  }
}

async function candidateIn(
  system: System,
  mountPoint: string,
  { directory, path }: Pick<Rediaccfile, 'directory' | 'path'>,
): Promise<Rediaccfile | undefined> {
  const names = sortBytes((await listOrNothing(system, path)) ?? []);
  const candidates = names.filter((entry) => /^rediaccfile$/i.test(entry));
  const [file] = candidates;
  if (candidates.length > 1) {
    throw new RdcError('INVALID_INPUT', `${path} has two Rediaccfiles: ${candidates.join(' and ')}`, {
      hint: 'keep one of them',
    });
  }
  if (file === undefined) return undefined;
  if (!(await isFileInside(system, mountPoint, `${path}/${file}`))) {
    throw new RdcError('INVALID_INPUT', `${path}/${file} ${await kindOf(system, `${path}/${file}`)}`, {
      hint: 'a Rediaccfile is a plain file, or a link to one inside of the repository',
    });
  }
  return { directory, file, path };
}

/** A link that leads nowhere, in circles, or to something that is no directory has no Rediaccfile behind it. */
async function listOrNothing(system: System, path: string): Promise<string[] | undefined> {
  try {
    return await system.list(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ELOOP') return undefined;
    throw error;
  }
}

/** Byte order of UTF-8, which is not that of UTF-16 for characters beyond U+FFFF. A name that is no UTF-8 may look like another one. */
function sortBytes(names: readonly string[]): string[] {
  return [...new Set(names)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
