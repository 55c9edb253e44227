// Packs paths into a layer: a tar archive, compressed, with both digests that an image needs.
// Names are sorted and times fixed, so the same packages give the same bytes.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { exec } from '../exec.ts';

export interface LayerBlob {
  /** The compressed archive. */
  file: string;
  /** Of the compressed archive: the name under which a registry hands it out. */
  digest: string;
  /** Of the archive itself: what the image's configuration lists (OCI image-spec, config.md). */
  diffId: string;
  /** Bytes of the compressed archive. */
  size: number;
  /** Bytes of the archive itself. */
  unpacked: number;
}

export interface ArchivePart {
  directory: string;
  /** Relative to the directory. Directories are packed without what is in them. */
  paths: readonly string[];
}

export interface PackOptions {
  /** The archive and its lists are written beside it: `${file}.tar`, removed afterwards. */
  file: string;
  parts: readonly ArchivePart[];
  /** Seconds since 1970 that every entry gets. */
  time: number;
  signal?: AbortSignal | undefined;
}

export async function packLayer({ file, parts, time, signal }: PackOptions): Promise<LayerBlob> {
  const archive = `${file}.tar`;
  const lists = await Promise.all(parts.map((part, index) => writeList(`${file}.${index}`, part)));
  const selection = lists.flatMap(({ list, directory }) => [`--directory=${directory}`, `--files-from=${list}`]);
  await exec(
    [
      ...(['tar', '--create', `--file=${archive}`, '--format=gnu', '--numeric-owner', `--mtime=@${time}`] as const),
      ...['--hard-dereference', '--no-recursion', '--null', '--verbatim-files-from', ...selection],
    ],
    { signal },
  );
  const blob = await compress(archive, file);
  for (const path of [archive, ...lists.map(({ list }) => list)]) await rm(path);
  return blob;
}

async function writeList(
  list: string,
  { directory, paths }: ArchivePart,
): Promise<{ list: string; directory: string }> {
  await writeFile(list, [...paths].sort().join('\0'));
  return { list, directory };
}

async function compress(archive: string, file: string): Promise<LayerBlob> {
  const before = { hash: createHash('sha256'), bytes: 0 };
  const after = { hash: createHash('sha256'), bytes: 0 };
  await pipeline(
    createReadStream(archive, { highWaterMark: 1 << 20 }),
    measuring(before),
    createGzip({ level: 6 }),
    measuring(after),
    createWriteStream(file),
  );
  return {
    file,
    digest: `sha256:${after.hash.digest('hex')}`,
    diffId: `sha256:${before.hash.digest('hex')}`,
    size: after.bytes,
    unpacked: before.bytes,
  };
}

function measuring(total: { hash: Hash; bytes: number }) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      total.hash.update(chunk);
      total.bytes += chunk.length;
      yield chunk;
    }
  };
}
