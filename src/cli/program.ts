// The words of the command line become a command value and its raw input. The only file that knows commander; it
// neither reads nor runs anything.
import { type Command as Commander, CommanderError, Option, Command as Parser } from 'commander';
import { RdcError } from '../protocol/errors.ts';
import type { ArgumentSpec, Command, CommandGroup, OptionSpec } from './command.ts';
import { CHANGE_OPTIONS, GLOBAL_OPTIONS, WAIT_DEFAULT } from './global-options.ts';

export type ParsedLine =
  | { kind: 'run'; command: Command; raw: Record<string, unknown>; globals: Record<string, unknown> }
  /** `asked`: with --help, and not because a verb is missing. */
  | { kind: 'help'; text: string; asked: boolean };

interface Selection {
  command: Command;
  raw: Record<string, unknown>;
}

export interface ParserOptions {
  groups: readonly CommandGroup[];
  version: string;
  columns: number;
}

/** Throws USAGE with the words to try. */
export async function parseLine(argv: readonly string[], options: ParserOptions): Promise<ParsedLine> {
  const words = normalize(argv);
  let shown = '';
  let selected: Selection | undefined;
  const program: Commander = new Parser('rdc')
    .description('Run applications on your own servers, encrypted at rest, apart from each other.')
    .version(options.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help; also: rdc help COMMAND')
    .helpCommand(false)
    .exitOverride()
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: ({ parent }) =>
        parent === null ? [] : program.options.filter((option) => option.long !== '--version'),
      helpWidth: options.columns,
      subcommandTerm: (command) => command.name(),
      optionTerm: ({ flags }) => flags.replace('--wait <duration>', '--wait[=<duration>]'),
    })
    .configureOutput({
      writeOut: (text) => {
        shown += text;
      },
      writeErr: (text) => {
        shown += text;
      },
    });
  for (const [flags, summary] of GLOBAL_OPTIONS) program.option(flags, summary);
  await addCommands(program, words, options.groups, (selection) => {
    selected = selection;
  });
  try {
    await program.parseAsync([...words], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (['commander.helpDisplayed', 'commander.version'].includes(error.code))
      return { kind: 'help', text: shown, asked: true };
    if (error.code === 'commander.help') return { kind: 'help', text: shown, asked: false };
    throw usageError(error, words, program);
  }
  if (selected === undefined) return { kind: 'help', text: program.helpInformation(), asked: false };
  return { kind: 'run', ...selected, globals: program.opts() };
}

/** `rdc help repo up` is `rdc repo up --help`; a bare --wait takes no word after it for its duration. */
function normalize(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const ours = end < 0 ? argv : argv.slice(0, end);
  const rest = end < 0 ? [] : argv.slice(end);
  const words = ours.map((word) => (word === '--wait' ? `--wait=${WAIT_DEFAULT}` : word));
  return words[0] === 'help' ? [...words.slice(1), '--help'] : [...words, ...rest];
}

/** Groups that the words do not name are only listed, so that nothing is loaded in vain. */
async function addCommands(
  program: Commander,
  words: readonly string[],
  groups: readonly CommandGroup[],
  select: (selection: Selection) => void,
): Promise<void> {
  for (const group of groups) {
    if (!words.includes(group.name)) {
      program.command(group.name, { hidden: group.hidden === true }).description(group.summary);
      continue;
    }
    const nodes = new Map<string, Commander>();
    for (const command of await group.load()) addCommand(nodeFor(program, command.name, group, nodes), command, select);
  }
}

/** The commander node of "repo credential show", its parents made on the way. */
function nodeFor(program: Commander, name: string, group: CommandGroup, nodes: Map<string, Commander>): Commander {
  const known = nodes.get(name);
  if (known !== undefined) return known;
  const words = name.split(' ');
  const parentName = words.slice(0, -1).join(' ');
  const parent = parentName === '' ? program : nodeFor(program, parentName, group, nodes);
  const hidden = parentName === '' && group.hidden === true;
  const node = parent.command(words.at(-1) ?? '', { hidden }).helpCommand(false);
  const summary = name === group.name ? group.summary : group.subgroups?.[name];
  if (summary !== undefined) node.description(summary);
  nodes.set(name, node);
  return node;
}

function addCommand(node: Commander, command: Command, select: (selection: Selection) => void): void {
  node.summary(command.summary);
  node.description(command.details === undefined ? command.summary : `${command.summary}\n\n${command.details}`);
  const args = Object.entries(command.args);
  for (const [, spec] of args) node.argument(argumentTerm(spec), spec.summary);
  for (const spec of Object.values(command.options)) node.addOption(optionOf(spec));
  if (command.changes !== 'nothing') node.option(...CHANGE_OPTIONS.dryRun);
  if (command.changes === 'machine') node.option(...CHANGE_OPTIONS.wait).option(...CHANGE_OPTIONS.detach);
  node.action((...values: unknown[]) => {
    const given = node.opts();
    const raw = Object.fromEntries(args.map(([key], index) => [key, values[index]]));
    for (const [key, spec] of Object.entries(command.options)) raw[key] = given[new Option(spec.flags).attributeName()];
    select({ command, raw: { ...raw, dryRun: given.dryRun, wait: given.wait, detach: given.detach } });
  });
}

function argumentTerm({ label, kind }: ArgumentSpec<unknown>): string {
  if (kind === 'required') return `<${label}>`;
  return kind === 'optional' ? `[${label}]` : `[${label}...]`;
}

function optionOf({ flags, summary, kind, required }: OptionSpec<unknown>): Option {
  const option = new Option(flags, summary).makeOptionMandatory(required);
  if (kind === 'list') option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  return option;
}

/** commander's sentence in our words: "error: unknown option '--foo'\n(Did you mean --bar?)". */
function usageError(error: CommanderError, words: readonly string[], program: Commander): RdcError {
  const [first = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const near = /Did you mean (?:one of )?(.*)\?\)/.exec(suggestion ?? '')?.[1];
  const message = first.replaceAll("'", '"');
  const hint = near === undefined ? `${commandPath(words, program)} --help` : `did you mean "${near}"?`;
  return new RdcError('USAGE', message, { hint });
}

/** The command that the words name as far as they name one: "rdc repo up". */
function commandPath(words: readonly string[], program: Commander): string {
  const path = ['rdc'];
  let node = program;
  for (const word of words) {
    const next = node.commands.find((command) => command.name() === word);
    if (next === undefined) continue;
    path.push(word);
    node = next;
  }
  return path.join(' ');
}
