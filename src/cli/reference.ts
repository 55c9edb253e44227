// docs/reference.md: every command with its arguments and options, from the same values that the parser and the help are
// made of, and the table of exit codes.
import { type ErrorCode, EXIT_CODES } from '../protocol/errors.ts';
import type { Command, CommandGroup, OptionSpec } from './command.ts';
import { CHANGE_OPTIONS, GLOBAL_OPTIONS } from './global-options.ts';

export async function renderReference(groups: readonly CommandGroup[]): Promise<string> {
  const visible = groups.filter(({ hidden }) => hidden !== true);
  const sections = await Promise.all(visible.map(renderGroup));
  return [
    '# Reference',
    'Made by `npm run docs` from the commands themselves; do not edit.',
    '`rdc --version` prints the version, `--help` after any command explains it.',
    '## Options of every command',
    'They may stand before or after the verb.',
    table(
      ['option', 'meaning'],
      GLOBAL_OPTIONS.map(([flags, summary]) => [code(flags), summary]),
    ),
    'Without `-m`, a command on a repository goes to the machine where it is recorded, else to the only machine of the context.',
    ...sections,
    '## Exit codes',
    'A run that is attached to ends with its own code. Programs that rdc runs for you pass theirs on.',
    table(['code', 'meaning', 'errors'], exitCodeRows()),
  ]
    .join('\n\n')
    .concat('\n');
}

async function renderGroup(group: CommandGroup): Promise<string> {
  const commands = (await group.load()).filter(({ hidden }) => !hidden);
  const heading = `## rdc ${group.name}`;
  const only = commands.length === 1 && commands[0]?.name === group.name;
  const intro = only ? [] : [sentence(group.summary)];
  return [heading, ...intro, ...commands.map((command) => renderCommand(command, only))].join('\n\n');
}

function renderCommand(command: Command, only: boolean): string {
  const { name, summary, details, args, options, changes } = command;
  const usage = ['rdc', name, ...Object.values(args).map(({ label, kind }) => usageTerm(label, kind))];
  const required = Object.values(options).filter((option) => option.required);
  const words = [...usage, ...required.map(({ flags }) => flags.replace(/^-\w, /, ''))].join(' ');
  const rows = [
    ...Object.values(args).map(({ label, summary: what }) => [code(label), what]),
    ...Object.values(options).map((option) => [code(option.flags), describeOption(option)]),
    ...(changes === 'nothing' ? [] : [[code(CHANGE_OPTIONS.dryRun[0]), CHANGE_OPTIONS.dryRun[1]]]),
    ...(changes === 'machine' ? [[code('--wait[=<duration>]'), CHANGE_OPTIONS.wait[1]]] : []),
  ];
  const parts = [`\`\`\`\n${words}\n\`\`\``, sentence(summary), ...(details === undefined ? [] : [details])];
  if (rows.length > 0) parts.push(table(['', 'meaning'], rows));
  return (only ? parts : [`### ${name}`, ...parts]).join('\n\n');
}

function usageTerm(label: string, kind: 'required' | 'optional' | 'rest'): string {
  if (kind === 'required') return label;
  return kind === 'optional' ? `[${label}]` : `[-- ${label}...]`;
}

function describeOption({ summary, required }: OptionSpec<unknown>): string {
  return required ? `${summary} (required)` : summary;
}

const MEANINGS: Readonly<Record<number, string>> = {
  0: 'done, or already so',
  1: 'failed',
  2: 'usage or configuration',
  3: 'partly done',
  4: 'ssh login, host key or sudo',
  5: 'unreachable, or the connection was lost: trying again may help',
  10: 'not found',
  11: 'busy: somebody else is changing it',
  12: 'wrong credential',
  13: 'volume or datastore full',
  130: 'interrupted',
};

function exitCodeRows(): string[][] {
  const codes = Object.entries(EXIT_CODES) as [ErrorCode, number][];
  return Object.entries(MEANINGS).map(([number, meaning]) => {
    const errors = codes.filter(([, exitCode]) => exitCode === Number(number)).map(([name]) => code(name));
    return [number, meaning, errors.join(' ')];
  });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function code(text: string): string {
  return `\`${text}\``;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
