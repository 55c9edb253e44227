// What the files of a directory are, as one digest: path, mode and content of every file below it, and where links lead. It
// leaves out what is no part of an application but comes of running it: directories that compose files bind for writing,
// .git, lost+found and, of the root, all directories. Where there is more than a glance can take, size and time of
// last change stand for the content. Reads only.
import { createHash } from 'node:crypto';
import type { Command } from './command.ts';
import type { System } from './system.ts';

/** Of one directory; beyond either, a digest of what files are like takes the place of one of what they hold. */
export const MOST_CONTENT_BYTES = 64 * 1024 ** 2;
export const MOST_CONTENT_FILES = 20_000;
/** Of all listings together: some hundred thousand files. */
const MOST_LISTED_BYTES = 32 * 1024 ** 2;

export interface DigestRequest {
  mountPoint: string;
  /** Relative to the mount; "" is the root. */
  directories: readonly string[];
  /** Absolute: what services write to. */
  data: readonly string[];
}

/** By directory; one that could not be looked through is not in it. */
export async function contentDigests(system: System, request: DigestRequest): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  const listed = await recordsOf(system, request, request.directories, LISTING);
  if (listed === undefined) return digests;
  const isSmall = (directory: string) => {
    const sizes = (listed.get(directory) ?? []).map((record) => Number(record.split('\t')[2] ?? 0));
    return sizes.length <= MOST_CONTENT_FILES && sizes.reduce((sum, size) => sum + size, 0) <= MOST_CONTENT_BYTES;
  };
  const small = request.directories.filter(isSmall);
  const contents = await recordsOf(system, request, small, CONTENTS);
  for (const directory of request.directories) {
    const entries = listed.get(directory) ?? [];
    const content = small.includes(directory) ? contents?.get(directory) : undefined;
    if (small.includes(directory) && content === undefined) continue;
    const what = content === undefined ? entries : [...entries.map(withoutTimes), ...content];
    const digest = createHash('sha256').update(what.sort().join('\0'), 'latin1').digest('hex');
    digests.set(directory, `${content === undefined ? 'metadata' : 'content'}:${digest}`);
  }
  return digests;
}

/** find(1): kind, mode, size, time, path, target of a link. Directories and whatever is no file do not count. */
const LISTING = ['(', '-type', 'f', '-o', '-type', 'l', ')', '-printf', '%y\\t%m\\t%s\\t%T@\\t%p\\t%l\\0'];
/** Hash, two blanks, path (sha256sum(1)). */
const HASH_WIDTH = 66;
const CONTENTS = ['-type', 'f', '-exec', 'sha256sum', '--zero', '{}', '+'];

/** The time says nothing where the content is known, and the size of a link is that of its target's name. */
function withoutTimes(record: string): string {
  const [kind, mode, , , ...names] = record.split('\t');
  return [kind, mode, ...names].join('\t');
}

/** Records in bytes (latin1), by directory. undefined: too many, or it took too long. */
async function recordsOf(
  system: System,
  request: DigestRequest,
  directories: readonly string[],
  what: readonly string[],
): Promise<Map<string, string[]> | undefined> {
  const found = new Map(directories.map((directory) => [directory, [] as string[]]));
  const below = directories.filter((directory) => directory !== '');
  // The root's own files are looked at by themselves: -maxdepth is for all places.
  const places = [
    ...(below.length === 0 ? [] : [{ starts: below.map((directory) => `./${directory}/`), depth: [] }]),
    ...(directories.includes('') ? [{ starts: ['./'], depth: ['-maxdepth', '1'] }] : []),
  ];
  for (const { starts, depth } of places) {
    const tests = [...depth, ...pruned(request), '-o', ...what];
    const text = await textOf(system, {
      file: 'find',
      args: [...starts, '-xdev', ...tests],
      cwd: request.mountPoint,
      // What goes away while it is looked at.
      allow: [1],
    });
    if (text === undefined) return undefined;
    for (const record of text.split('\0').filter((one) => one !== '')) {
      const path = what === LISTING ? record.split('\t').slice(4).join('\t') : record.slice(HASH_WIDTH);
      const name = path.slice('./'.length, path.indexOf('/', './'.length));
      found.get(depth.length > 0 ? '' : Buffer.from(name, 'latin1').toString())?.push(record);
    }
  }
  return found;
}

function pruned({ mountPoint, data }: DigestRequest): string[] {
  const inside = data.filter((path) => path.startsWith(`${mountPoint}/`));
  const paths = inside.map((path) => `./${path.slice(mountPoint.length + 1)}`);
  const tests = paths.flatMap((path) => ['-path', path.replaceAll(/[*?[\\]/g, '\\$&'), '-o']);
  // A single file that is bound is a setting more often than data, whoever may write to it.
  const directories = ['-type', 'd', '(', ...tests, '-name', '.git', '-o', '-name', 'lost+found', ')'];
  // What we write there ourselves when a service gets its slot.
  return ['(', ...directories, '-o', '-path', './.rediacc.json', ')', '-prune'];
}

async function textOf(system: System, command: Command): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    await system.run(command, (stream, chunk) => {
      bytes += chunk.length;
      if (stream === 'stdout' && bytes <= MOST_LISTED_BYTES) chunks.push(chunk);
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'COMMAND_FAILED') return undefined;
    throw error;
  }
  return bytes > MOST_LISTED_BYTES ? undefined : Buffer.concat(chunks).toString('latin1');
}
