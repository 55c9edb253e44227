// A directory tree like that of unpacked packages, small enough to see at a glance: links within it, out of it, in a loop.
import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LayerBlob, packLayer } from '../../src/cli/playground/images/layer-blob.ts';

/** Seconds since 1970 that packed entries get. */
export const TIME = 1_700_000_000;

/** Answers with a new directory that holds the tree as `tree`. */
export async function smallTree(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'rdc-images-'));
  const tree = join(directory, 'tree');
  for (const path of ['usr/lib/ssl', 'usr/bin', 'etc/ssl']) await mkdir(join(tree, path), { recursive: true });
  await writeFile(join(tree, 'usr/lib/libz.so.1.3'), 'library');
  await writeFile(join(tree, 'usr/bin/hello'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(tree, 'etc/ssl/ours'), 'ours');
  await symlink('usr/lib', join(tree, 'lib'));
  await symlink('libz.so.1.3', join(tree, 'usr/lib/libz.so.1'));
  await symlink('/etc/ssl', join(tree, 'usr/lib/ssl/certs'));
  await symlink('loop', join(tree, 'usr/lib/loop'));
  return directory;
}

export function packSmall(directory: string, name: string, paths: string[]): Promise<LayerBlob> {
  return packLayer({ file: join(directory, name), parts: [{ directory: join(directory, 'tree'), paths }], time: TIME });
}
