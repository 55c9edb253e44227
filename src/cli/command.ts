// A command is a value: program.ts makes a parser of it, reference.ts a page. It runs with a context and its parsed
// input, and says how it ended; nothing here knows commander.
import { type ErrorCode, RdcError } from '../protocol/errors.ts';
import type { CommandContext } from './context.ts';

/** Nothing: done. An error code: the result was shown, but the exit code is not 0. A number: another program's own. */
export type CommandEnd = undefined | ErrorCode | { exitCode: number };

/** What a command changes: decides whether it takes --dry-run (anything), --wait and --detach (a run on a machine). */
export type Changes = 'nothing' | 'workstation' | 'machine';

export interface ArgumentSpec<T> {
  /** In the usage line: "NAME". */
  label: string;
  summary: string;
  kind: 'required' | 'optional' | 'rest';
  parse(raw: unknown): T;
}

export interface OptionSpec<T> {
  /** As in the help: "-m, --machine <name>". */
  flags: string;
  summary: string;
  kind: 'flag' | 'value' | 'list';
  required: boolean;
  parse(raw: unknown): T;
}

type Parsed<S> = { [K in keyof S]: S[K] extends { parse(raw: unknown): infer T } ? T : never };
type ArgumentSpecs = Record<string, ArgumentSpec<unknown>>;
type OptionSpecs = Record<string, OptionSpec<unknown>>;

export interface CommandDefinition<A extends ArgumentSpecs, O extends OptionSpecs> {
  /** All its words: "repo credential show". */
  name: string;
  /** One line for lists. */
  summary: string;
  /** What else a person must know, in a few lines. */
  details?: string;
  args: A;
  options: O;
  changes: Changes;
  /** Not in the help, e.g. what only the build calls. */
  hidden?: boolean;
  run(context: CommandContext, input: Parsed<A> & Parsed<O>): Promise<CommandEnd>;
}

/** A command with its input types forgotten, as the parser handles it: raw words in, checked before anything runs. */
export interface Command {
  name: string;
  summary: string;
  details: string | undefined;
  args: ArgumentSpecs;
  options: OptionSpecs;
  changes: Changes;
  hidden: boolean;
  /** Checks the words of the command line; throws INVALID_INPUT before anything is read or reached. */
  prepare(raw: Record<string, unknown>): (context: CommandContext) => Promise<CommandEnd>;
}

export function defineCommand<A extends ArgumentSpecs, O extends OptionSpecs>(
  definition: CommandDefinition<A, O>,
): Command {
  const { name, summary, details, args, options, changes, hidden = false, run } = definition;
  return {
    ...{ name, summary, details, args, options, changes, hidden },
    prepare(raw) {
      const specs = Object.entries<ArgumentSpec<unknown> | OptionSpec<unknown>>({ ...args, ...options });
      const input = Object.fromEntries(specs.map(([key, spec]) => [key, parseNamed(spec, raw[key])]));
      return (context) => run(context, input as Parsed<A> & Parsed<O>);
    },
  };
}

/** A value that is refused is told with the option that it was given for; those of arguments name themselves. */
function parseNamed(spec: ArgumentSpec<unknown> | OptionSpec<unknown>, raw: unknown): unknown {
  try {
    return spec.parse(raw);
  } catch (error) {
    if (!('flags' in spec) || !(error instanceof RdcError) || error.code !== 'INVALID_INPUT') throw error;
    const where = /--[\w-]+/.exec(spec.flags)?.[0] ?? spec.flags;
    const given = error.message.includes(JSON.stringify(raw)) ? '' : ` ${JSON.stringify(raw)}`;
    throw new RdcError('INVALID_INPUT', `${where}${given}: ${error.message}`, { hint: error.hint, cause: error.cause });
  }
}

type Parse<T> = (text: string) => T;

export function argument<T>(label: string, summary: string, parse: Parse<T>): ArgumentSpec<T> {
  return { label, summary, kind: 'required', parse: (raw) => parse(String(raw)) };
}

export function optionalArgument<T>(label: string, summary: string, parse: Parse<T>): ArgumentSpec<T | undefined> {
  return { label, summary, kind: 'optional', parse: (raw) => (raw === undefined ? undefined : parse(String(raw))) };
}

export function restArguments(label: string, summary: string): ArgumentSpec<string[]> {
  return { label, summary, kind: 'rest', parse: (raw) => (Array.isArray(raw) ? raw.map(String) : []) };
}

/** `--no-x` is true when it was given. */
export function flag(flags: string, summary: string): OptionSpec<boolean> {
  const given = !flags.includes('--no-');
  return { flags, summary, kind: 'flag', required: false, parse: (raw) => raw === given };
}

export function option(flags: string, summary: string): OptionSpec<string | undefined>;
export function option<T>(flags: string, summary: string, parse: Parse<T>): OptionSpec<T | undefined>;
export function option(flags: string, summary: string, parse: Parse<unknown> = asText): OptionSpec<unknown> {
  return {
    ...{ flags, summary, kind: 'value', required: false },
    parse: (raw) => (raw === undefined ? undefined : parse(String(raw))),
  };
}

export function requiredOption(flags: string, summary: string): OptionSpec<string>;
export function requiredOption<T>(flags: string, summary: string, parse: Parse<T>): OptionSpec<T>;
export function requiredOption(flags: string, summary: string, parse: Parse<unknown> = asText): OptionSpec<unknown> {
  return { flags, summary, kind: 'value', required: true, parse: (raw) => parse(String(raw)) };
}

function asText(text: string): string {
  return text;
}

/** May be given more than once. */
export function listOption(flags: string, summary: string): OptionSpec<string[]> {
  return { flags, summary, kind: 'list', required: false, parse: (raw) => (Array.isArray(raw) ? raw.map(String) : []) };
}

/** The first word of commands. */
export interface CommandGroup {
  name: string;
  summary: string;
  /** Groups within: "repo credential" and what it is for. */
  subgroups?: Readonly<Record<string, string>>;
  hidden?: boolean;
  /** Loads the modules of its commands: done only when the command line names the group. */
  load(): Promise<readonly Command[]>;
}
