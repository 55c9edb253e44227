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

/** What a directory has in the place of one Rediaccfile. */
export interface DiscoveryFault {
  /** Relative to the mount, printable: the file, or the directory that has two. Of the root: "Rediaccfile". */
  place: string;
  message: string;
  hint: string;
}

export interface Discovery {
  /** In the order of `up`. */
  files: Rediaccfile[];
  faults: DiscoveryFault[];
}

/**
 * In the order of `up`. Throws INVALID_INPUT with all faults: where one directory has two candidates, where one is no file or
 * lies outside of the mount, and where a name is no UTF-8.
 */
export async function findRediaccfiles(system: System, mountPoint: string): Promise<Rediaccfile[]> {
  const { files, faults } = await discoverRediaccfiles(system, mountPoint);
  const [first] = faults;
  if (first === undefined) return files;
  throw new RdcError('INVALID_INPUT', faults.map(({ message }) => message).join('\n'), { hint: first.hint });
}

/** As findRediaccfiles; throws only for a name that is no UTF-8, which may hide another. */
export async function discoverRediaccfiles(system: System, mountPoint: string): Promise<Discovery> {
  const names = sortBytes((await system.list(mountPoint)) ?? []);
  await refuseForeignNames(system, mountPoint, names);
  const discovery: Discovery = { files: [], faults: [] };
  const add = (found: Rediaccfile | DiscoveryFault | undefined) => {
    if (found === undefined) return;
    if ('file' in found) discovery.files.push(found);
    else discovery.faults.push(found);
  };
  add(await candidateIn(system, mountPoint, { directory: '', path: mountPoint }));
  for (const name of names.filter((entry) => !entry.startsWith('.'))) {
    const path = `${mountPoint}/${name}`;
    const kind = (await system.stat(path))?.kind;
    if (kind !== 'directory' && kind !== 'symlink') continue;
    const found = await candidateIn(system, mountPoint, { directory: name, path });
    const isLinked = found !== undefined && kind === 'symlink';
    add((isLinked ? await faultOfLink(system, mountPoint, { directory: name, path }, names) : undefined) ?? found);
  }
  return discovery;
}

/** A link to a directory may lead to any place of the mount that is not called under its own name already. */
async function faultOfLink(
  system: System,
  mountPoint: string,
  { directory, path }: Pick<Rediaccfile, 'directory' | 'path'>,
  names: readonly string[],
): Promise<DiscoveryFault | undefined> {
  const target = await realPathInside(system, mountPoint, path);
  const place = printable(directory);
  if (target === undefined) {
    return {
      place,
      message: `the link ${place} leads out of the repository, to a directory with a Rediaccfile`,
      hint: 'put the directory itself in its place, or remove the link',
    };
  }
  if (target !== '' && (!names.includes(target) || target.startsWith('.'))) return undefined;
  const other = target === '' ? 'the root' : `"${printable(target)}"`;
  return {
    place,
    message: `the link ${place} leads to ${other}: its Rediaccfile would be called twice`,
    hint: 'give one of both a name with a dot before it: such names are not looked at',
  };
}

async function candidateIn(
  system: System,
  mountPoint: string,
  { directory, path }: Pick<Rediaccfile, 'directory' | 'path'>,
): Promise<Rediaccfile | DiscoveryFault | undefined> {
  const names = sortBytes((await listOrNothing(system, path)) ?? []);
  const candidates = names.filter((entry) => /^rediaccfile$/i.test(entry));
  const [file] = candidates;
  if (file === undefined) return undefined;
  if (candidates.length > 1) {
    const where = directory === '' ? 'the root' : printable(directory);
    return {
      place: directory === '' ? file : where,
      message: `${where} has two Rediaccfiles: ${candidates.join(' and ')}`,
      hint: 'keep one of them',
    };
  }
  if (await isFileInside(system, mountPoint, `${path}/${file}`)) return { directory, file, path };
  const place = nameOf({ directory, file });
  return {
    place,
    message: `${place} ${await kindOf(system, `${path}/${file}`)}`,
    hint: 'a Rediaccfile is a plain file, or a link to one inside of the repository',
  };
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
