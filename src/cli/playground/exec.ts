// The one place where the playground starts programs on the workstation. argv only, never a shell line.
import { execa } from 'execa';
import { RdcError } from '../../protocol/errors.ts';

export interface ExecOptions {
  cwd?: string;
  signal?: AbortSignal | undefined;
  input?: string;
  env?: Record<string, string>;
  /** Exit codes that are answers, not failures. Default: 0 only. */
  allow?: readonly number[];
  timeoutMs?: number;
}

export interface ExecResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program to its end. Throws COMMAND_FAILED with the end of its stderr, TIMED_OUT, or INTERRUPTED after an abort.
 * The C locale, because some output is parsed.
 */
export async function exec(argv: readonly [string, ...string[]], options: ExecOptions = {}): Promise<ExecResult> {
  const [program, ...args] = argv;
  const result = await execa(program, args, {
    reject: false,
    stdin: options.input === undefined ? 'ignore' : 'pipe',
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    env: { LC_ALL: 'C.UTF-8', PATH: toolPath(process.env.PATH), ...options.env },
    forceKillAfterDelay: 10_000,
    maxBuffer: 16 * 1024 * 1024,
  });
  if (result.isCanceled) throw new RdcError('INTERRUPTED', `interrupted while running ${program}`);
  if (result.timedOut) throw new RdcError('TIMED_OUT', `"${program}" did not end within ${options.timeoutMs} ms`);
  const exitCode = result.exitCode ?? 127;
  if (exitCode !== 0 && options.allow?.includes(exitCode) !== true) {
    throw new RdcError('COMMAND_FAILED', `"${program}" failed with exit code ${exitCode}`, {
      cause: lastLines(result.stderr, 20) || result.shortMessage,
    });
  }
  return { exitCode, stdout: result.stdout, stderr: result.stderr };
}

/** Debian leaves the sbin directories out of an ordinary user's PATH; mke2fs and chroot live there. */
export function toolPath(path: string | undefined): string {
  const entries = (path ?? '').split(':').filter((entry) => entry !== '');
  const missing = ['/usr/local/sbin', '/usr/sbin', '/sbin'].filter((entry) => !entries.includes(entry));
  return [...entries, ...missing].join(':');
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
