// What rsync has written belongs to root. A service that runs as another user must be able to use it: every entry that
// the upload made takes the owner of the directory it lies in, top down, so that new directories hand it on. find(1)
// looks for them, since a volume may hold millions of files; names are handled as bytes (latin1), since they need not
// be UTF-8.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { RdcError } from '../protocol/errors.ts';
import { OpenDirectories } from './open-directories.ts';
import { keepTail } from './output-tail.ts';
import { SEARCH_PATH } from './run-command.ts';

/** The kernel stamps changes with a clock that is up to one tick behind. */
const CLOCK_SLACK_MS = 50;

export interface Upload {
  mountPoint: string;
  /** Absolute; was there before the upload. */
  existing: string;
  /** Relative to it: what the upload has made; "" for none. */
  missing: string;
  /** Milliseconds since the epoch, the server's clock. */
  since: number;
}

/** Throws FAILED when not everything could be looked at. */
export async function giveToDirectoryOwners(upload: Upload): Promise<void> {
  const find = spawn('find', findWords(upload), {
    cwd: upload.existing,
    env: { PATH: SEARCH_PATH, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = endOf(find);
  const said = keepTail(find.stderr);
  const directories = new OpenDirectories(upload.existing);
  try {
    // The loop waits for us and find for the loop: a long list needs no memory.
    for await (const path of zeroSeparated(find.stdout)) directories.handToOwner(path);
  } finally {
    directories.close();
  }
  const exitCode = await ended;
  if (exitCode !== 0) throw new RdcError('FAILED', `find ended with ${exitCode}: ${said().trim()}`);
}

/** What has another owner than root was not written by rsync. `.rediacc` at the top of the mount is ours. */
function findWords({ mountPoint, existing, missing, since }: Upload): string[] {
  const start = missing === '' ? '.' : `./${missing.split('/')[0]}`;
  const ours = existing === mountPoint ? ['-path', './.rediacc', '-prune', '-o'] : [];
  const newer = `@${((since - CLOCK_SLACK_MS) / 1000).toFixed(3)}`;
  return [start, '-xdev', ...ours, '-newerct', newer, '-user', '0', '!', '-path', '.', '-printf', '%p\\0'];
}

async function endOf(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

async function* zeroSeparated(stream: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of stream.setEncoding('latin1') as AsyncIterable<string>) {
    const names = (rest + chunk).split('\0');
    rest = names.pop() ?? '';
    yield* names;
  }
}
