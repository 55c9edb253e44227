// A command is a value: builders make it, only System runs it. No shell anywhere: file and argument list.
import type { Secret } from '../protocol/secret.ts';

export interface Command {
  file: string;
  args: readonly string[];
  /** Fed to stdin, which is otherwise empty. A Secret is revealed only while it is written to the pipe. */
  stdin?: string | Secret;
  /** Added to a minimal environment (PATH, LC_ALL=C). Never holds a secret. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Milliseconds after which the command is killed and COMMAND_FAILED thrown. Default 120 000. */
  timeoutMs?: number;
  /** Of the end of its stdout, and as much of its stderr, for the result; 1 MiB. All of it is passed on meanwhile. */
  keptBytes?: number;
  /** Exit codes that are an answer and no failure, beside 0. */
  allow?: readonly number[];
}

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  durationMs: number;
}

export function command(file: string, ...args: string[]): Command {
  return { file, args };
}

/** For people: `cryptsetup open /dev/loop3 rediacc-…`. Stdin is never part of it. */
export function describeCommand({ file, args }: Command): string {
  return [file, ...args]
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
