// Starting a program and waiting for its end: no shell, a minimal environment, bounded memory, and an end that takes
// all its children along. A thin layer over Node's own spawn: what a wrapper library adds to that (templates, pipes,
// buffering) is not wanted here, and the agent is resident, so its size counts.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import type { Command, CommandResult } from '../lifecycle/command.ts';
import { describeCommand } from '../lifecycle/command.ts';
import type { OutputSink } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import { Secret } from '../protocol/secret.ts';
import { NEEDS } from './host-needs.ts';
import { codeOf } from './linux-files.ts';
import { keepTail } from './output-tail.ts';

/** Where programs are looked for; systemd's own search path (systemd.service(5)). */
export const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEFAULT_TIMEOUT_MS = 120_000;
/** What a timer of Node can count to; a longer limit is none. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** A command has ended, but something that it left behind still holds its output open: how long that may go on. */
const ORPHANED_OUTPUT_MS = 2_000;
const LONGEST_SHOWN_COMMAND = 160;

export interface RunSettings {
  onOutput?: OutputSink | undefined;
  signal?: AbortSignal | undefined;
  killAfterMs: number;
}

export async function runCommand(command: Command, settings: RunSettings): Promise<CommandResult> {
  const { onOutput, signal } = settings;
  if (signal?.aborted) throw cancellation(signal);
  const started = performance.now();
  const child = start(command);
  const kept = (stream: 'stdout' | 'stderr') =>
    keepTail(child[stream], { onChunk: (chunk) => onOutput?.(stream, chunk), bytes: command.keptBytes });
  const [stdout, stderr] = [kept('stdout'), kept('stderr')];
  feed(child, command);
  const end = await waitFor(child, command, settings);
  if (signal?.aborted) throw cancellation(signal);
  const durationMs = Math.round(performance.now() - started);
  const result = { exitCode: end.exitCode, stdout: stdout(), stderr: stderr(), durationMs };
  if (end.why === undefined && (result.exitCode === 0 || command.allow?.includes(result.exitCode))) return result;
  throw failure(command, result, end.why);
}

/** Why everything of a cancelled run stops: what the signal was aborted with, or plainly CANCELLED. */
export function cancellation(signal: AbortSignal | undefined): RdcError {
  const reason: unknown = signal?.reason;
  return reason instanceof RdcError ? reason : new RdcError('CANCELLED', 'the run was cancelled');
}

function start({ file, args, cwd, env }: Command) {
  return spawn(file, args, {
    cwd,
    env: { PATH: SEARCH_PATH, LC_ALL: 'C', ...env },
    stdio: 'pipe',
    // A group of its own, so that it can be ended with all its children.
    detached: true,
  });
}

function feed(child: ChildProcess, { stdin }: Command): void {
  // A program that ends without reading its input is its own affair.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(stdin instanceof Secret ? stdin.reveal() : (stdin ?? ''));
}

interface End {
  exitCode: number;
  /** Set when it did not end by itself: "was killed by SIGKILL", "took longer than 120 s". */
  why?: string;
}

function waitFor(child: ChildProcess, command: Command, { signal, killAfterMs }: RunSettings): Promise<End> {
  const timeoutMs = command.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    let why: string | undefined;
    const timers: NodeJS.Timeout[] = [];
    const stop = (reason: string) => {
      if (why !== undefined) return;
      why = reason;
      killGroup(child, 'SIGTERM');
      timers.push(setTimeout(() => killGroup(child, 'SIGKILL'), killAfterMs));
    };
    const onAbort = () => stop('was cancelled');
    const settle = () => {
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    if (timeoutMs <= LONGEST_TIMER_MS) {
      timers.push(setTimeout(() => stop(`took longer than ${timeoutMs / 1000} s`), timeoutMs));
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    child.once('error', (error) => {
      settle();
      reject(notStarted(command, error));
    });
    child.once('exit', () => {
      // Whoever was to be ended is ended whole, also a child that ignores SIGTERM while its parent did not.
      if (why !== undefined) killGroup(child, 'SIGKILL');
      timers.push(setTimeout(() => closeOutput(child), ORPHANED_OUTPUT_MS));
    });
    child.once('close', (code, killedBy) => {
      settle();
      const reason = why ?? (killedBy === null ? undefined : `was killed by ${killedBy}`);
      // 128 + n, as a shell counts it, so that an exit code is always there.
      const exitCode = code ?? 128 + constants.signals[killedBy ?? 'SIGKILL'];
      resolve({ exitCode, ...(reason === undefined ? {} : { why: reason }) });
    });
  });
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

function closeOutput(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
}

function notStarted(command: Command, error: Error): RdcError {
  const { file, cwd } = command;
  // spawn(2) says ENOENT for a missing directory as well.
  const isMissing = codeOf(error) === 'ENOENT' && (cwd === undefined || existsSync(cwd));
  if (!isMissing) return new RdcError('COMMAND_FAILED', `cannot start "${file}": ${error.message}`, { cause: error });
  const brought = NEEDS.find((need) => need.programs.includes(file))?.packages.apt[0];
  const where = brought === undefined ? '' : ` (package "${brought}" on Debian)`;
  return new RdcError('TOOL_MISSING', `the program "${file}"${where} is not on this machine`, {
    hint: 'rdc context setup-machine installs what is missing',
    cause: error,
  });
}

function failure(command: Command, result: CommandResult, why: string | undefined): RdcError {
  const lastLine = result.stderr.trim().split('\n').at(-1) ?? '';
  const words = describeCommand(command);
  const shown = words.length > LONGEST_SHOWN_COMMAND ? `${words.slice(0, LONGEST_SHOWN_COMMAND - 1)}…` : words;
  const how = why ?? `failed (exit ${result.exitCode})`;
  return new RdcError('COMMAND_FAILED', `"${shown}" ${how}${lastLine === '' ? '' : `: ${lastLine}`}`, {
    cause: new CommandFailure(result),
  });
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
