// Every command line in the documentation is one that the programs understand: it is parsed as it would be typed, its
// values checked, and nothing is run.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GROUPS } from '../../src/cli/commands/index.ts';
import { parseLine } from '../../src/cli/program.ts';

/** The reference shows synopses, and is made from the parser's own values. */
const pages = readdirSync('docs', { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md') && path !== 'reference.md')
  .map((path) => join('docs', path));
const texts = new Map(['README.md', ...pages].map((path) => [path, readFileSync(path, 'utf8')]));

/** Words that stand for something where a plain word is not legal. */
const EXAMPLES: Readonly<Record<string, string>> = { ID: '0195f1a2b3c4-0a1b2c3d', SIZE: '10G', DURATION: '10m' };

interface ShownCommand {
  page: string;
  line: string;
}

function fencedCommands(page: string, text: string): ShownCommand[] {
  const blocks = [...text.matchAll(/^```[^\n]*\n(.*?)^```/gms)].map(([, block = '']) => block);
  // A drawing names programs too.
  const lines = blocks
    .filter((block) => !/[─│]/.test(block))
    .flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'));
  return lines.filter((line) => /^\s*(\$ )?(sudo (-n )?)?(rdc|renet) /.test(line)).map((line) => ({ page, line }));
}

/** In running text, where arguments are often left out. */
function inlineCommands(page: string, text: string): ShownCommand[] {
  const prose = text.replaceAll(/^```.*?^```/gms, '');
  return [...prose.matchAll(/`(rdc [^`]+)`/g)].map(([, line = '']) => ({ page, line }));
}

/** Words as a shell would make them; a comment ends the line, an operator the command. */
function commandsIn(line: string): string[][] {
  const commands: string[][] = [[]];
  for (const [word] of line.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)) {
    if (word.startsWith('#')) break;
    if (/^([|&;<>]+|\d?>.*)$/.test(word)) commands.push([]);
    else commands.at(-1)?.push(word.replaceAll(/["']/g, ''));
  }
  return commands.map((words) => words.filter((word) => !['$', 'sudo', '-n'].includes(word)));
}

/** Why the line is not understood; undefined: it is. */
async function faultOf(line: string): Promise<string | undefined> {
  for (const [program, ...words] of commandsIn(line)) {
    const fault = program === 'rdc' ? await rdcFault(words) : program === 'renet' ? renetFault(words) : undefined;
    if (fault !== undefined) return fault;
  }
  return undefined;
}

async function rdcFault(words: readonly string[]): Promise<string | undefined> {
  try {
    const argv = words.map((word) => EXAMPLES[word] ?? word);
    const parsed = await parseLine(argv, { groups: GROUPS, version: '0.1.0', columns: 80 });
    if (parsed.kind === 'help') return parsed.asked ? undefined : 'only shows help';
    parsed.command.prepare(parsed.raw);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** By its usage line, and by the shim that stands for it inside a Rediaccfile. */
function renetFault(words: readonly string[]): string | undefined {
  const usage = /'usage: renet (.*)\\n'/.exec(readFileSync('src/agent/main.ts', 'utf8'))?.[1];
  if (usage === undefined) throw new Error('src/agent/main.ts shows no usage');
  const line = words.join(' ');
  const shimVerbs = /^ {2}(compose \| wait)\)$/m.exec(readFileSync('systemd/renet-shim.sh', 'utf8'))?.[1] ?? '';
  const isShim = shimVerbs.split(' | ').includes(words[0] ?? '') && words.length > 1;
  const isVerb = usage.split(' | ').some((form) => {
    const pattern = form.replaceAll(/ \[(.*?)\]/g, '(?: $1)?').replaceAll(/\b[A-Z]+\b/g, '\\S+');
    return new RegExp(`^${pattern}$`).test(line);
  });
  return isShim || isVerb ? undefined : `"renet ${line}" is not in: ${usage}`;
}

const fenced = [...texts].flatMap(([page, text]) => fencedCommands(page, text));
const inline = [...texts].flatMap(([page, text]) => inlineCommands(page, text));

describe('in blocks', () => {
  test('there are some', () => expect(fenced.length).toBeGreaterThan(5));
  test.each(fenced)('$page: $line', async ({ line }) => expect(await faultOf(line)).toBeUndefined());
});

describe('in running text, where words may be missing but none may be wrong', () => {
  const incomplete = /missing required argument|required option|only shows help/;
  test.each(inline)('$page: $line', async ({ line }) => {
    const fault = await faultOf(line);
    if (fault !== undefined) expect(fault).toMatch(incomplete);
  });
});

describe('the checker finds', () => {
  test.each([
    ['rdc repo start webapp', 'unknown command'],
    ['rdc server list', 'unknown command'],
    ['rdc repo up webapp --fast', 'unknown option'],
    ['rdc repo up', 'missing required argument'],
    ['rdc repo create webapp -m prod', 'required option'],
    ['rdc repo create webapp --size huge', 'not a size'],
    ['rdc repo list && rdc repo start webapp   # not so', 'unknown command'],
    ['rdc repo', 'only shows help'],
    ['  renet compoze -- up', 'is not in'],
    ['sudo renet daemon --port 1', 'is not in'],
  ])('%s', async (line, fault) => expect(await faultOf(line)).toContain(fault));

  test.each([
    '$ rdc repo up webapp -m prod-1   # comes up',
    'rdc repo create webapp --size SIZE --credential-command "pass show prod/webapp" | cat',
    'rdc ops ssh -- curl -s http://127.0.11.2:8080/',
    'sudo renet daemon --socket /run/x.sock',
    'renet compose -- up -d',
  ])('nothing wrong with: %s', async (line) => expect(await faultOf(line)).toBeUndefined());

  test('commands in blocks and in running text', () => {
    const page = 'See `rdc doctor`.\n\n```bash\nrdc repo up a \\\n  -m b\nls\n```\n';
    expect(fencedCommands('page', page).map(({ line }) => line.trim().split(/\s+/))).toEqual([
      ['rdc', 'repo', 'up', 'a', '-m', 'b'],
    ]);
    expect(inlineCommands('page', page)).toEqual([{ page: 'page', line: 'rdc doctor' }]);
  });
});
