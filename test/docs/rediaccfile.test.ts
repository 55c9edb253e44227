// Every rule of docs/rediaccfile.md names the test that proves it, and that test exists.
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';

const PAGE = 'docs/rediaccfile.md';
const MACHINE_TESTS = ['test/machine/rediaccfile.test.ts', 'test/long/rediaccfile.test.ts'];
const text = readFileSync(PAGE, 'utf8');

interface Proof {
  title: string;
  file: string;
}

/** Rows of the tables whose last column is "proven by", headings of groups left out. */
const rows = [...text.matchAll(/\| proven by \|\n\|---\|---\|\n((?:\|.*\n)+)/g)]
  .flatMap(([, body = '']) => body.trimEnd().split('\n'))
  .map((line) => line.split(/(?<!\\) \| | \|$/))
  .map(([rule = '', proof = '']) => ({ rule: rule.replace(/^\| /, ''), proof }))
  .filter(({ rule }) => !/^\*\*.*\*\*$/.test(rule));

const proofsIn = (words: string): Proof[] =>
  [...words.matchAll(/\[((?:[^\]]|\](?!\())+)\]\(([^)]+\.test\.ts)\)/g)].map(([, title = '', path = '']) => ({
    title,
    file: posix.join('docs', path),
  }));

/** As a title of a test stands in its file, whatever quotes are around it. */
function hasTest({ title, file }: Proof): boolean {
  if (!existsSync(file)) return false;
  const source = readFileSync(file, 'utf8');
  return ["'", '"', '`'].some(
    (quote) => source.includes(`(${quote}${title}${quote}`) || source.includes(`  ${quote}${title}${quote}`),
  );
}

test('there are rules, and most are proven on a machine', () => {
  expect(rows.length).toBeGreaterThan(50);
  expect(proofsIn(text).filter(({ file }) => MACHINE_TESTS.includes(file)).length).toBeGreaterThan(40);
});

describe('each rule has a test that exists', () => {
  test.each(rows)('$rule', ({ proof }) => {
    const proofs = proofsIn(proof);
    if (proof !== 'planned') expect(proofs).not.toEqual([]);
    expect(proofs.filter((one) => !hasTest(one))).toEqual([]);
  });
});

test('each test of the rules on a machine is named', () => {
  const source = MACHINE_TESTS.map((file) => readFileSync(file, 'utf8')).join('\n');
  const titles = [...source.matchAll(/\btest(?:\.each\([\s\S]*?\))?\((['"`])(.*?)\1,/g)].map(
    ([, , title = '']) => title,
  );
  const named = proofsIn(text).map(({ title }) => title);
  expect(titles.length).toBeGreaterThan(30);
  expect(titles.filter((title) => !named.includes(title))).toEqual([]);
});

test('control: a test that does not exist is found', () => {
  expect(hasTest({ title: 'no such test', file: MACHINE_TESTS[0] ?? '' })).toBe(false);
  expect(hasTest({ title: 'set -e in the file means what it says', file: 'test/machine/none.test.ts' })).toBe(false);
});
