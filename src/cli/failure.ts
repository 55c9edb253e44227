// How a failure is shown, and what anything thrown becomes. Exit codes are looked up here and set in main.ts only.
import { EXIT_CODES, RdcError, toWireError, type WireError } from '../protocol/errors.ts';
import type { CommandEnd } from './command.ts';
import { cleanLine, type Io, safeText } from './io.ts';

/** Shows the error where the options want it and gives its exit code. */
export function showFailure(thrown: unknown, io: Io, contextName?: string): number {
  const error = inContext(toWireError(asRdcError(thrown)), contextName);
  const { message, hint, detail } = error;
  const lines = [`${io.paintErr.red('rdc:')} ${message}`];
  if (hint !== undefined) lines.push(`  hint: ${hint}`);
  if (detail !== undefined && (io.verbose || error.code === 'INTERNAL')) lines.push(...causeLines(detail));
  io.streams.stderr.write(`${safeText(lines.join('\n'), io.paintErr.isColorSupported)}\n`);
  io.printJson({ error: publicError(error, io.verbose) });
  return EXIT_CODES[error.code];
}

export function exitCodeOf(end: CommandEnd): number {
  if (end === undefined) return 0;
  return typeof end === 'string' ? EXIT_CODES[end] : end.exitCode;
}

/** A command in a hint must mean the context that this one was given. */
function inContext(error: WireError, contextName: string | undefined): WireError {
  const { hint } = error;
  const needsOne = /^rdc (repo|run|machine|sync|context (add|setup|remove|scan))/;
  if (contextName === undefined || hint === undefined || !needsOne.test(hint)) return error;
  return { ...error, hint: `${hint} --context ${contextName}` };
}

function publicError({ code, message, hint, detail }: WireError, verbose: boolean) {
  return {
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(verbose && detail !== undefined ? { detail } : {}),
  };
}

function causeLines(detail: string): string[] {
  const lines = detail.split('\n').map((line) => cleanLine(line, false).trimEnd());
  return lines.filter((line) => line !== '').map((line, index) => `  ${index === 0 ? 'cause: ' : '       '}${line}`);
}

/** Prompts and aborted work throw errors of their own; people meant "stop". */
function asRdcError(thrown: unknown): unknown {
  if (thrown instanceof RdcError || !(thrown instanceof Error)) return thrown;
  const stopped = ['ExitPromptError', 'AbortPromptError', 'AbortError'].includes(thrown.name);
  return stopped ? new RdcError('INTERRUPTED', 'interrupted', { cause: thrown }) : thrown;
}

/** A schema's complaints as one of ours. */
export function invalidInput(issues: readonly { message: string; path: readonly PropertyKey[] }[]): RdcError {
  const [first] = issues;
  const where = first === undefined || first.path.length === 0 ? '' : `${first.path.map(String).join('.')}: `;
  return new RdcError('INVALID_INPUT', `${where}${first?.message ?? 'invalid input'}`);
}
