// docs/reference.md: every command with its arguments and options, from the same values that the parser and the help are
// made of, and the table of exit codes.
import { type ErrorCode, EXIT_CODES } from '../protocol/errors.ts';
import type { Command, CommandGroup, OptionSpec } from './command.ts';
import { CHANGE_OPTIONS, GLOBAL_OPTIONS } from './global-options.ts';

export async function renderReference(groups: readonly CommandGroup[]): Promise<string> {
  const visible = groups.filter(({ hidden }) => hidden !== true);
  const chapters = await Promise.all(visible.map(loadChapter));
  return [
    '# Reference',
    'Made by `npm run docs` from the commands themselves; do not edit.',
    '`rdc --version` prints the version, `--help` after any command explains it. Exit codes: [at the end](#exit-codes).',
    table(['command', 'what it does'], chapters.flatMap(contentRows)),
    '## Options of every command',
    'They may stand before or after the verb.',
    table(
      ['option', 'meaning'],
      GLOBAL_OPTIONS.map(([flags, summary]) => [code(flags), summary]),
    ),
    'Without `-m`, a command on a repository goes to the machine where it is recorded, else to the only machine of the context.',
    ...chapters.map(renderChapter),
    '## Exit codes',
    'A run that is attached to ends with its own code. Programs that rdc runs for you pass theirs on.',
    table(['code', 'meaning', 'errors'], exitCodeRows()),
  ]
    .join('\n\n')
    .concat('\n');
}

interface Chapter {
  group: CommandGroup;
  commands: readonly Command[];
  /** The group is its only command: "doctor". */
  single: boolean;
}

async function loadChapter(group: CommandGroup): Promise<Chapter> {
  const commands = (await group.load()).filter(({ hidden }) => !hidden);
  return { group, commands, single: commands.length === 1 && commands[0]?.name === group.name };
}

/** Links to the headings, with the anchors that GitHub gives them: lower case, "-" for a space. */
function contentRows({ commands, single }: Chapter): string[][] {
  return commands.map(({ name, summary }) => {
    const heading = (single ? `rdc ${name}` : name).replaceAll(' ', '-');
    return [`[${name}](#${heading})`, summary];
  });
}

function renderChapter({ group, commands, single }: Chapter): string {
  const intro = single ? [] : [sentence(group.summary)];
  return [`## rdc ${group.name}`, ...intro, ...commands.map((command) => renderCommand(command, single))].join('\n\n');
}

function renderCommand(command: Command, single: boolean): string {
  const { name, summary, details, args, options, changes } = command;
  const optionRows = [
    ...Object.values(options).map((option) => [code(option.flags), describeOption(option)]),
    ...(changes === 'nothing' ? [] : [[code(CHANGE_OPTIONS.dryRun[0]), CHANGE_OPTIONS.dryRun[1]]]),
    ...(changes === 'machine'
      ? [
          [code(CHANGE_OPTIONS.detach[0]), CHANGE_OPTIONS.detach[1]],
          [code('--wait[=<duration>]'), CHANGE_OPTIONS.wait[1]],
        ]
      : []),
  ];
  const argumentRows = Object.values(args).map(({ label, summary: what }) => [code(label), what]);
  const parts = [
    `\`\`\`\n${synopsis(command, optionRows.length)}\n\`\`\``,
    sentence(summary),
    ...(details === undefined ? [] : [details]),
    ...(argumentRows.length === 0 ? [] : [table(['argument', 'meaning'], argumentRows)]),
    ...(optionRows.length === 0 ? [] : [table(['option', 'meaning'], optionRows)]),
  ];
  return (single ? parts : [`### ${name}`, ...parts]).join('\n\n');
}

/** "rdc repo create NAME --size <size> [options]": what must be there, and whether there is more. */
function synopsis({ name, args, options }: Command, optionCount: number): string {
  const specs = Object.values(args);
  const required = Object.values(options).filter((option) => option.required);
  const words = [
    `rdc ${name}`,
    ...specs.filter(({ kind }) => kind !== 'rest').map(({ label, kind }) => usageTerm(label, kind)),
    ...required.map(({ flags }) => flags.replace(/^-\w, /, '')),
    ...(optionCount > required.length ? ['[options]'] : []),
    ...specs.filter(({ kind }) => kind === 'rest').map(({ label, kind }) => usageTerm(label, kind)),
  ];
  return words.join(' ');
}

function usageTerm(label: string, kind: 'required' | 'optional' | 'rest'): string {
  if (kind === 'required') return label;
  return kind === 'optional' ? `[${label}]` : `[-- ${label}...]`;
}

function describeOption({ summary, required }: OptionSpec<unknown>): string {
  return required ? `${summary} (required)` : summary;
}

/** Of every exit code that an error can have, and of success. */
const MEANINGS: Readonly<Record<0 | (typeof EXIT_CODES)[ErrorCode], string>> = {
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
