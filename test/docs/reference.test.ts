// docs/reference.md is what the commands say today.
import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import type { Command } from '../../src/cli/command.ts';
import { GROUPS } from '../../src/cli/commands/index.ts';
import { renderReference } from '../../src/cli/reference.ts';
import { EXIT_CODES } from '../../src/protocol/errors.ts';

let commands: Command[];
let fresh: string;

beforeAll(async () => {
  const shown = GROUPS.filter(({ hidden }) => hidden !== true);
  commands = (await Promise.all(shown.map((group) => group.load()))).flat().filter(({ hidden }) => !hidden);
  fresh = await renderReference(GROUPS);
});

test('the file is up to date', () => {
  expect(readFileSync('docs/reference.md', 'utf8'), 'docs/reference.md is old: npm run docs').toBe(fresh);
});

test('every command with its synopsis, arguments and options', () => {
  expect(commands.length).toBeGreaterThan(20);
  for (const command of commands) {
    const start = fresh.indexOf(`\`\`\`\nrdc ${command.name}`);
    expect(start, command.name).toBeGreaterThan(0);
    const end = fresh.indexOf('\n#', start);
    const section = fresh.slice(start, end < 0 ? undefined : end);
    for (const { label } of Object.values(command.args)) expect(section).toContain(`| \`${label}\` |`);
    for (const { flags } of Object.values(command.options)) expect(section).toContain(`| \`${flags}\` |`);
    expect(section.includes('`--dry-run`'), `${command.name} --dry-run`).toBe(command.changes !== 'nothing');
    expect(section.includes('`--wait[=<duration>]`'), `${command.name} --wait`).toBe(command.changes === 'machine');
  }
});

test('every link in the contents has its heading', () => {
  const links = [...fresh.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor);
  const headings = [...fresh.matchAll(/^##+ (.*)$/gm)].map(([, title = '']) =>
    title.toLowerCase().replaceAll(' ', '-'),
  );
  expect(links.length).toBeGreaterThan(commands.length);
  expect(links.filter((link) => !headings.includes(link ?? ''))).toEqual([]);
});

test('every error code with its exit code', () => {
  const rows = fresh.slice(fresh.indexOf('## Exit codes')).split('\n');
  for (const [name, exitCode] of Object.entries(EXIT_CODES)) {
    expect(rows.filter((row) => row.includes(`\`${name}\``))).toEqual([expect.stringMatching(`^\\| ${exitCode} \\|`)]);
  }
});

test('hidden commands are not in it', () => {
  expect(fresh).not.toContain('__docs');
});
