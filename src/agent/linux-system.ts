// The System port on a real Linux: the only place where the agent starts a program or touches a file of the server.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, open, readdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Command, CommandResult } from '../lifecycle/command.ts';
import { describeCommand } from '../lifecycle/command.ts';
import type { FileStat, OutputSink, System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import { Secret } from '../protocol/secret.ts';

const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEFAULT_TIMEOUT_MS = 120_000;
/** What a result keeps of each stream; onOutput sees everything. */
const KEPT_BYTES = 1024 ** 2;
const KILL_AFTER_MS = 10_000;

/** `signal`: aborting it ends running commands and makes further ones fail with CANCELLED. */
export function createLinuxSystem({ signal }: { signal?: AbortSignal } = {}): System {
  return {
    run: (command, onOutput) => runCommand(command, onOutput, signal),
    readFile: (path) => orAbsent(readFile(path, 'utf8')),
    writeFile,
    remove,
    async makeDirectory(path, mode) {
      const first = await mkdir(path, { recursive: true, mode });
      // mkdir(2) applies the umask; what was asked for counts.
      if (first !== undefined) await chmod(path, mode);
    },
    async list(path) {
      const names = await orAbsent(readdir(path, 'buffer'));
      return names?.sort(Buffer.compare).map((name) => name.toString('utf8'));
    },
    stat,
    now: () => performance.now(),
    sleep: (ms) => sleep(ms, signal),
  };
}

async function runCommand(
  command: Command,
  onOutput: OutputSink | undefined,
  signal: AbortSignal | undefined,
): Promise<CommandResult> {
  if (signal?.aborted) throw new RdcError('CANCELLED', 'the run was cancelled');
  const started = performance.now();
  const child = spawn(command.file, command.args, {
    cwd: command.cwd,
    env: { PATH: SEARCH_PATH, LC_ALL: 'C', ...command.env },
    stdio: 'pipe',
    // A group of its own, so that the command ends with all its children.
    detached: true,
  });
  const stdout = keepTail(child, 'stdout', onOutput);
  const stderr = keepTail(child, 'stderr', onOutput);
  feed(child, command);
  const end = await waitFor(child, command, signal);
  const result = {
    exitCode: end.exitCode,
    stdout: stdout(),
    stderr: stderr(),
    durationMs: Math.round(performance.now() - started),
  };
  if (signal?.aborted) throw new RdcError('CANCELLED', 'the run was cancelled', { cause: result });
  if (end.why === undefined && (result.exitCode === 0 || command.allow?.includes(result.exitCode))) return result;
  throw failure(command, result, end.why);
}

interface End {
  exitCode: number;
  /** Set when it did not end by itself: "was killed by SIGKILL", "took longer than 120 s". */
  why?: string;
}

function waitFor(child: ChildProcess, command: Command, signal: AbortSignal | undefined): Promise<End> {
  const timeoutMs = command.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    let why: string | undefined;
    let killer: NodeJS.Timeout | undefined;
    const stop = (reason: string) => {
      why ??= reason;
      killGroup(child, 'SIGTERM');
      killer ??= setTimeout(() => killGroup(child, 'SIGKILL'), KILL_AFTER_MS);
    };
    const timer = Number.isFinite(timeoutMs)
      ? setTimeout(() => stop(`took longer than ${timeoutMs / 1000} s`), timeoutMs)
      : undefined;
    const onAbort = () => stop('was cancelled');
    signal?.addEventListener('abort', onAbort, { once: true });
    const done = () => {
      clearTimeout(timer);
      clearTimeout(killer);
      signal?.removeEventListener('abort', onAbort);
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      done();
      reject(notStarted(command, error));
    });
    child.once('close', (code, killedBy) => {
      done();
      const reason = why ?? (killedBy === null ? undefined : `was killed by ${killedBy}`);
      // 128 + n as a shell counts it, so that an exit code is always there.
      resolve({ exitCode: code ?? 137, ...(reason === undefined ? {} : { why: reason }) });
    });
  });
}

function feed(child: ChildProcess, { stdin }: Command): void {
  // A program that ends without reading its input is its own affair.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(stdin instanceof Secret ? stdin.reveal() : (stdin ?? ''));
}

function keepTail(child: ChildProcess, stream: 'stdout' | 'stderr', onOutput: OutputSink | undefined): () => string {
  let chunks: Buffer[] = [];
  let kept = 0;
  child[stream]?.on('data', (chunk: Buffer) => {
    onOutput?.(stream, chunk);
    chunks.push(chunk);
    kept += chunk.length;
    if (kept > 2 * KEPT_BYTES) {
      chunks = [Buffer.concat(chunks).subarray(-KEPT_BYTES)];
      kept = KEPT_BYTES;
    }
  });
  return () => Buffer.concat(chunks).subarray(-KEPT_BYTES).toString('utf8');
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // The group ended in the meantime.
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

function notStarted(command: Command, error: NodeJS.ErrnoException): RdcError {
  if (error.code !== 'ENOENT')
    return new RdcError('COMMAND_FAILED', `cannot start "${command.file}": ${error.message}`, { cause: error });
  return new RdcError('TOOL_MISSING', `the program "${command.file}" is not on this machine`, {
    hint: 'rdc context setup-machine installs what is missing',
    cause: error,
  });
}

function failure(command: Command, result: CommandResult, why: string | undefined): RdcError {
  const lastLine = result.stderr.trim().split('\n').at(-1) ?? '';
  const words = describeCommand(command);
  const short = words.length > 160 ? `${words.slice(0, 157)}…` : words;
  const how = why ?? `failed (exit ${result.exitCode})`;
  const error = new RdcError('COMMAND_FAILED', `"${short}" ${how}${lastLine === '' ? '' : `: ${lastLine}`}`, {
    cause: new CommandFailure(result),
  });
  return error;
}

/** The cause of COMMAND_FAILED: how the command ended, for those who know what its exit codes mean. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: number;

  constructor(result: CommandResult) {
    super(result.stderr.trim() || `exit code ${result.exitCode}`);
    this.exitCode = result.exitCode;
  }
}

async function writeFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function remove(path: string): Promise<void> {
  const found = await stat(path);
  if (found === undefined) return;
  await orAbsent(found.kind === 'directory' ? rmdir(path) : unlink(path));
}

async function stat(path: string): Promise<FileStat | undefined> {
  const found = await orAbsent(lstat(path));
  if (found === undefined) return undefined;
  const kind = found.isFile()
    ? 'file'
    : found.isDirectory()
      ? 'directory'
      : found.isSymbolicLink()
        ? 'symlink'
        : found.isSocket()
          ? 'socket'
          : 'other';
  return {
    kind,
    sizeBytes: found.size,
    allocatedBytes: found.blocks * 512,
    mode: found.mode & 0o7777,
    uid: found.uid,
    gid: found.gid,
  };
}

async function orAbsent<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = () => reject(new RdcError('CANCELLED', 'the run was cancelled'));
    if (signal?.aborted) return cancelled();
    const onAbort = () => {
      clearTimeout(timer);
      cancelled();
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
