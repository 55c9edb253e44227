// Decides which paths of the unpacked packages make up a layer: what was asked for, every link on the way to it,
// and the libraries that its programs load. All paths are relative to the tree and free of directory links.
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { RdcError } from '../../../protocol/errors.ts';
import { exec } from '../exec.ts';
import type { LayerDefinition } from './definitions.ts';

const BUSYBOX = 'usr/bin/busybox';

export interface OtherPaths {
  /** In the layers below: libraries there are not repeated. A named file is, over a link to busybox for one. */
  below: ReadonlySet<string>;
  /** Written into this layer by us, in place of what the packages have. */
  made: ReadonlySet<string>;
}

/** The paths that a layer gets from the packages. */
export async function layerContent(tree: string, layer: LayerDefinition, others: OtherPaths): Promise<string[]> {
  const taken = await takenPaths(tree, layer);
  const loaded = await Promise.all([...(await loadedBy(tree, taken))].map((path) => followLinks(tree, path)));
  const shared = await sharedLibraries(tree, layer.sharedBy ?? []);
  const libraries = [...loaded.flat(), ...shared].filter((path) => !others.below.has(path));
  return [...new Set([...taken, ...libraries])].filter((path) => !others.made.has(path));
}

/** Every symbolic link that leads to `path`, then the path itself (path_resolution(7), with `tree` as the root). */
export async function followLinks(tree: string, path: string, hops = 0): Promise<string[]> {
  if (hops > 40) throw new RdcError('FAILED', `too many symbolic links on the way to "${path}"`);
  const parts = posix.normalize(path).split('/').filter(Boolean);
  let reached = '';
  for (const [index, part] of parts.entries()) {
    const here = posix.join(reached, part);
    if ((await lstat(join(tree, here))).isSymbolicLink()) {
      const target = posix.resolve('/', reached, await readlink(join(tree, here)));
      return [here, ...(await followLinks(tree, posix.join(target, ...parts.slice(index + 1)), hops + 1))];
    }
    reached = here;
  }
  return [reached];
}

/** The shared objects that the C library's loader reports for these programs: absolute paths as the loader sees them. */
export function parseLdd(output: string): Set<string> {
  const missing = /^\s*(\S+) => not found/m.exec(output)?.[1];
  if (missing !== undefined) throw new RdcError('FAILED', `the packages lack the library "${missing}"`);
  const found = output.matchAll(/^\s+(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)/gm);
  return new Set([...found].map((match) => match[1] ?? ''));
}

/** Names of the applets of the tree's busybox. */
export async function applets(tree: string): Promise<string[]> {
  const { stdout } = await exec(['chroot', tree, `/${BUSYBOX}`, '--list']);
  return stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
}

async function takenPaths(tree: string, layer: LayerDefinition): Promise<Set<string>> {
  const left = (layer.leave ?? []).map((path) => path.slice(1));
  const isLeft = (path: string) => left.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
  const taken = new Set<string>();
  for (const wanted of layer.take ?? []) {
    const links = await followLinks(tree, wanted);
    for (const path of links) taken.add(path);
    const last = links.at(-1) ?? '';
    for (const path of await pathsBelow(tree, last)) if (!isLeft(path)) taken.add(path);
  }
  return taken;
}

/** Without following links: one that is absolute would lead out of the tree. */
async function pathsBelow(tree: string, path: string): Promise<string[]> {
  if (!(await lstat(join(tree, path))).isDirectory()) return [];
  const names = await readdir(join(tree, path));
  const below = await Promise.all(
    names.map(async (name) => [posix.join(path, name), ...(await pathsBelow(tree, posix.join(path, name)))]),
  );
  return below.flat();
}

async function sharedLibraries(tree: string, programs: readonly string[]): Promise<string[]> {
  const files = await Promise.all(programs.map((program) => followLinks(tree, program)));
  const [first, ...others] = await Promise.all(files.map((paths) => loadedBy(tree, paths)));
  const shared = [...(first ?? [])].filter((library) => others.every((libraries) => libraries.has(library)));
  return (await Promise.all(shared.map((library) => followLinks(tree, library)))).flat();
}

async function loadedBy(tree: string, paths: Iterable<string>): Promise<Set<string>> {
  const programs: string[] = [];
  for (const path of paths) if (await isElf(join(tree, path))) programs.push(posix.join('/', path));
  if (programs.length === 0) return new Set();
  // 1: some of them load nothing (busybox is linked statically).
  const { stdout } = await exec(['chroot', tree, '/usr/bin/ldd', ...programs], { allow: [1] });
  return parseLdd(stdout);
}

/** Programs and libraries start with 0x7f "ELF" (elf(5)). */
async function isElf(file: string): Promise<boolean> {
  if (!(await lstat(file)).isFile()) return false;
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.toString('latin1') === '\x7fELF';
  } finally {
    await handle.close();
  }
}
