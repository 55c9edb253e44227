// `rdc sync`: the system's rsync, with a remote shell of ours (ssh/remote-shell.ts) that leads into the repository.
// It decides how rsync is called and what its answers mean; it never asks a person and prints nothing.
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ErrorCode, RdcError } from '../protocol/errors.ts';
import { readShellError, type ShellReference } from './ssh/remote-shell.ts';
import { rsyncArguments, type SyncRequest } from './ssh/rsync-arguments.ts';
import {
  parseChange,
  parseProgress,
  parseStats,
  type SyncChange,
  type SyncProgress,
  type SyncStats,
} from './ssh/rsync-output.ts';
import { Tail } from './ssh/tail.ts';

export { type RemoteShellDeps, runRemoteShell, type ShellReference } from './ssh/remote-shell.ts';
export { rsyncArguments, type SyncRequest } from './ssh/rsync-arguments.ts';
export type { SyncChange, SyncProgress, SyncStats } from './ssh/rsync-output.ts';

export interface SyncDeps {
  /** Path of a program, or undefined where it is not installed. */
  which(program: string): Promise<string | undefined>;
  /** How to start `rdc __rsh`, e.g. [process.execPath, "…/main.js", "__rsh"]. */
  shell: readonly string[];
  env: NodeJS.ProcessEnv;
  onProgress?(progress: SyncProgress): void;
  signal?: AbortSignal;
}

export interface SyncResult extends SyncStats {
  /** With `dryRun` only: what would be done, deletions among it. */
  changes: SyncChange[];
}

/** Older ones cannot compare nanoseconds; macOS's openrsync cannot either. */
const OLDEST_RSYNC = [3, 1, 3] as const;

/** Copies, or with `dryRun` tells what it would copy and delete. Throws what the session throws, TOOL_MISSING, PARTIAL, NO_SPACE, INTERRUPTED. */
export async function syncFiles(request: SyncRequest, reference: ShellReference, deps: SyncDeps): Promise<SyncResult> {
  const rsync = await findRsync(deps);
  const directory = await mkdtemp(join(tmpdir(), 'rdc-sync-'));
  const file = join(directory, 'reference');
  try {
    await writeFile(file, JSON.stringify(reference), { mode: 0o600 });
    const end = await runRsync(rsync, rsyncArguments(request, [...deps.shell, file]), deps);
    if (deps.signal?.aborted === true) throw new RdcError('INTERRUPTED', 'the sync was interrupted');
    if (end.exitCode !== 0) {
      throw (await readShellError(file)) ?? rsyncFailure(end, request, reference);
    }
    return { ...parseStats(end.text), changes: end.changes };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface RsyncEnd {
  exitCode: number;
  text: string;
  stderr: string;
  changes: SyncChange[];
}

function runRsync(program: string, args: readonly string[], deps: SyncDeps): Promise<RsyncEnd> {
  const env = { ...deps.env, LC_ALL: 'C' };
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  // rsync then keeps what it has of a file for the next time, and ends with 20.
  const interrupt = () => child.kill('SIGINT');
  deps.signal?.addEventListener('abort', interrupt, { once: true });
  if (deps.signal?.aborted === true) interrupt();
  const stderr = new Tail();
  const stdout = new Tail();
  const changes: SyncChange[] = [];
  let rest = '';
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    // Progress lines end in \r, all others in \n.
    const lines = (rest + chunk).split(/[\r\n]/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const progress = parseProgress(line);
      const change = progress === undefined ? parseChange(line) : undefined;
      if (progress !== undefined) deps.onProgress?.(progress);
      else if (change !== undefined) changes.push(change);
      else stdout.push(Buffer.from(`${line}\n`));
    }
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      deps.signal?.removeEventListener('abort', interrupt);
      resolve({ exitCode: code ?? 20, text: stdout.text() + rest, stderr: stderr.text(), changes });
    });
  });
}

/** Exit values of rsync(1). */
const MEANINGS: Readonly<Record<number, [ErrorCode, string]>> = {
  10: ['CONNECTION_LOST', 'the connection broke off'],
  // The far side's own words stay there; a full repository is the usual reason.
  11: ['FAILED', 'a file could not be written'],
  12: ['CONNECTION_LOST', 'the connection broke off'],
  20: ['INTERRUPTED', 'the sync was interrupted'],
  23: ['PARTIAL', 'some files could not be copied'],
  24: ['PARTIAL', 'some files vanished while they were copied'],
  30: ['CONNECTION_LOST', 'the other side fell silent'],
};

function rsyncFailure(
  { exitCode, stderr }: RsyncEnd,
  { direction }: SyncRequest,
  { repo, target: { machine } }: ShellReference,
): RdcError {
  if (/No space left on device|Disk quota exceeded/.test(stderr)) {
    const where = direction === 'upload' ? `repository "${repo}" on machine "${machine}"` : 'the local disk';
    return new RdcError('NO_SPACE', `${where} is full`, { cause: stderr });
  }
  const hint =
    exitCode === 11 && direction === 'upload' ? { hint: `is it full? rdc repo status ${repo} -m ${machine}` } : {};
  const [code, meaning] = MEANINGS[exitCode] ?? ['FAILED', `rsync failed (exit code ${exitCode})`];
  // Its last line ("rsync error:") only repeats the exit code, and other lines are not rsync's.
  const reason = stderr.split('\n').filter((line) => line.startsWith('rsync: '));
  return new RdcError(code, [meaning, ...reason.slice(0, 1)].join(': '), { cause: stderr, ...hint });
}

async function findRsync({ which, env }: SyncDeps): Promise<string> {
  const hint = process.platform === 'darwin' ? 'brew install rsync' : 'apt-get install rsync';
  const path = await which('rsync');
  if (path === undefined) throw new RdcError('TOOL_MISSING', 'rsync is not installed here', { hint });
  const { stdout } = await promisify(execFile)(path, ['--version'], { env: { ...env, LC_ALL: 'C' } });
  const version = /^rsync +version v?(\d+)\.(\d+)\.(\d+)/.exec(stdout)?.slice(1).map(Number);
  if (version !== undefined && !isOlder(version)) return path;
  const found = stdout.split('\n')[0] ?? '';
  throw new RdcError('TOOL_MISSING', `rsync ${OLDEST_RSYNC.join('.')} or later is needed, here is: ${found}`, { hint });
}

function isOlder(version: readonly number[]): boolean {
  const at = OLDEST_RSYNC.findIndex((part, index) => (version[index] ?? 0) !== part);
  return at >= 0 && (version[at] ?? 0) < (OLDEST_RSYNC[at] ?? 0);
}
