// Writes the files of a layer that come from no package: entrypoints, accounts, links, empty directories.
import { chmod, chown, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RdcError } from '../../../protocol/errors.ts';
import { applets } from './content.ts';
import type { LayerDefinition, MadeFile, User } from './definitions.ts';

const BASE_USERS: readonly User[] = [
  { name: 'root', id: 0, home: '/root', shell: '/bin/sh' },
  { name: 'daemon', id: 1, home: '/usr/sbin', shell: '/bin/false' },
  { name: 'www-data', id: 33, home: '/var/www', shell: '/bin/false' },
  { name: 'nobody', id: 65534, home: '/nonexistent', shell: '/bin/false' },
];

/** Writes them under `directory`; answers with their paths, relative and sorted. `tree` holds the unpacked packages. */
export async function writeMadeFiles(tree: string, directory: string, layer: LayerDefinition): Promise<string[]> {
  const files = [
    ...(layer.made ?? []),
    ...(layer.users === undefined ? [] : accountFiles(layer.users)),
    ...(layer.applets ? (await applets(tree)).map(appletLink) : []),
  ];
  await mkdir(directory, { recursive: true });
  for (const file of files) await writeMadeFile(tree, join(directory, file.path), file);
  return files.map(({ path }) => path.slice(1)).sort();
}

async function writeMadeFile(tree: string, target: string, file: MadeFile): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  if (file.kind === 'link') return symlink(file.target, target);
  if (file.kind === 'directory') await mkdir(target, { recursive: true });
  else await writeFile(target, await fileText(tree, file));
  if (file.owner !== undefined) await chown(target, file.owner, file.owner);
  await chmod(target, file.mode ?? (file.kind === 'directory' ? 0o755 : 0o644));
}

async function fileText(tree: string, file: Exclude<MadeFile, { kind: 'link' | 'directory' }>): Promise<string> {
  if (file.kind === 'text') return file.text;
  if (file.kind === 'joined') return joinFiles(join(tree, file.directory));
  const original = await readFile(join(tree, file.path), 'utf8');
  if (!original.includes(file.from))
    throw new RdcError('FAILED', `"${file.path}" of the packages lacks "${file.from}"`);
  return original.replace(file.from, file.to);
}

async function joinFiles(directory: string): Promise<string> {
  const names = (await readdir(directory)).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  return texts.map((text) => `${text.trimEnd()}\n`).join('');
}

/** passwd(5) and group(5), one group for each user. */
function accountFiles(users: readonly User[]): MadeFile[] {
  const all = [...BASE_USERS, ...users];
  const passwd = all.map(({ name, id, home, shell }) => `${name}:x:${id}:${id}:${name}:${home}:${shell}\n`);
  const group = all.map(({ name, id }) => `${name}:x:${id}:\n`);
  return [
    { kind: 'text', path: '/etc/passwd', text: passwd.join('') },
    { kind: 'text', path: '/etc/group', text: group.join('') },
  ];
}

function appletLink(name: string): MadeFile {
  return { kind: 'link', path: `/usr/bin/${name}`, target: 'busybox' };
}
