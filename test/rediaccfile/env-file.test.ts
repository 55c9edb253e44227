// Every line of the table was given to docker compose v2.26.1 (`config`), and this is what it answered.
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { parseEnvFile } from '../../src/lifecycle/env-file.ts';
import { substitute } from '../../src/lifecycle/env-value.ts';

const environment = { B: 'envB', EMPTY: '' };
function parse(text: string): Record<string, string> {
  const settings = [...parseEnvFile({ path: 'api/.env', text, environment })];
  return Object.fromEntries(settings.map(({ name, value }) => [name, value]));
}

describe('a .env is read as compose reads it', () => {
  test.each<[text: string, expected: Record<string, string>]>([
    ['\uFEFFA=1\n', { A: '1' }],
    ['A=1\r\nC=2\r\n', { A: '1', C: '2' }],
    ['export A=two # comment\nexport   C=1', { A: 'two', C: '1' }],
    ['exportA=3', { exportA: '3' }],
    ['A="x y" # after', { A: 'x y' }],
    ['A="a #b" # c\nC=1', { A: 'a #b', C: '1' }],
    ['A=a#b', { A: 'a#b' }],
    ['A=un #c', { A: 'un' }],
    ['A=x\t#c', { A: 'x\t#c' }],
    ['A=#x', { A: '#x' }],
    ['A= # y', { A: '# y' }],
    ['A: yaml', { A: 'yaml' }],
    ['A =spaced', { A: 'spaced' }],
    ['A= spaced value  \n', { A: 'spaced value' }],
    ['A=', { A: '' }],
    ['A="multi\nline"\nC=2', { A: 'multi\nline', C: '2' }],
    ["A='l1\nl2' #\nC=1", { A: 'l1\nl2', C: '1' }],
    ["A='sin $B gle'", { A: 'sin $B gle' }],
    ["A='it\\'s'", { A: "it's" }],
    ["A='a\\\\b'", { A: 'a\\\\b' }],
    ["A=a'b'c", { A: "a'b'c" }],
    ["A=a\\nb\\'c", { A: "a\\nb\\'c" }],
    ['A="dbl $B ${B} ${NO:-def} \\n esc \\t \\" q \\$B \\\\ z"', { A: 'dbl envB envB def \n esc \t " q $B \\ z' }],
    ['A="tab\\tx\\a\\b\\f\\v\\101\\x41"', { A: 'tab\tx\x07\b\f\v\\101\\x41' }],
    ['A="\\0123 \\012 \\0 \\08"', { A: 'S \\12 \\ \\8' }],
    ['A="q \\u0041 \\e \\c"', { A: 'q \\u0041 \\e \\c' }],
    ['A="back\\\\"', { A: 'back\\' }],
    ['A=trail\\', { A: 'trail\\' }],
    ['A="\\$$B"', { A: '$envB' }],
    ['A=$$B', { A: '$B' }],
    ['A=$$$B', { A: '$envB' }],
    ['A=\\$B', { A: '\\envB' }],
    ['A=$1', { A: '$1' }],
    ['A=$', { A: '$' }],
    ['A="x$ y"', { A: 'x$ y' }],
    ['A={$B}', { A: '{envB}' }],
    ['A=x$B\nB=3', { A: 'xenvB', B: '3' }],
    ['A=1\nA=${A}2', { A: '12' }],
    ['A=${B:-a}b}', { A: 'envBb}' }],
    ['A=${N:-a"b}', { A: 'a"b' }],
    ['A=${N:-${M:-deep}}z', { A: 'deepz' }],
    ['A=${N-}${N+p}${B+p}${B:+}', { A: 'p' }],
    ['A=${EMPTY-x}${EMPTY:-y}', { A: 'y' }],
    ['A=${N:-a:-b}', { A: 'a:-b' }],
    ['A=${N-a?b}', { A: 'a?b' }],
    ['A=${N:-$$}', { A: '$' }],
    ['A="$(id)"', { A: '$(id)' }],
    ['A=`id`', { A: '`id`' }],
    ['A=1; B=2', { A: '1; B=2' }],
    ['A="x" C=2', { A: 'x', C: '2' }],
    ['T="a"tail\n', { T: 'a' }],
    ['U\nA=1', { A: '1' }],
    ['export\nA=1', { A: '1' }],
    ['# c\n\n  A=1\n', { A: '1' }],
    ['a.b=1\nc-d=2\n1x=3\né=4', { 'a.b': '1', 'c-d': '2', '1x': '3', é: '4' }],
    ['A=😀', { A: '😀' }],
    ['', {}],
  ])('%j', (text, expected) => expect(parse(text)).toEqual(expected));

  test.each([
    ['A=1\nA="x', 'api/.env: line 2 has a value whose " is never closed'],
    ['A="$B\\"', 'api/.env: line 1 has a value whose " is never closed'],
    ['A B=2', 'api/.env: line 1 has a name with a space in it'],
    ['# c\n  A=1\n\n;x=2', 'api/.env: line 4 has a name with a character'],
    ['A+=1', 'api/.env: line 1 has a name with a character'],
    ['=x', 'api/.env: line 1 has no name'],
    ['A=1\nB', 'api/.env: line 2 ends with a name that has no value'],
    ['A=${', 'line 1 has a "${" that is never closed'],
    ['A=${}', 'line 1 has a ${…} that is none'],
    ['A=${1x:-1}', 'line 1 has a ${…} that is none'],
    ['A=${B:=x}', 'line 1 has a ${…} that is none'],
    ['A="${N:-"q"}"', 'line 1 has a "${" that is never closed'],
    ['A=${Z?secret}', 'line 1 needs Z, which is not set'],
    ['A=1\nB=a\0b', 'line 2 is no text in UTF-8'],
    ['A=\uFFFD', 'line 1 is no text in UTF-8'],
  ])('%j is refused', (text, message) => expect(() => parse(text)).toThrow(message));
});

it('what is written in single quotes is read as it was', () => {
  const value = fc.string({ unit: 'grapheme' }).filter((text) => !/['\\\0\uFFFD]/.test(text));
  fc.assert(
    fc.property(value, (text) => {
      expect(parse(`A='${text}'`)).toEqual({ A: text });
    }),
    { numRuns: 1000 },
  );
});

it('what is written in double quotes, escaped, is read as it was', () => {
  const value = fc.string({ unit: 'grapheme' }).filter((text) => !/[\0\uFFFD]/.test(text));
  const escaped = (text: string) => text.replaceAll(/[\\"$]/g, '\\$&');
  fc.assert(
    fc.property(value, (text) => {
      expect(parse(`A="${escaped(text)}"`)).toEqual({ A: text });
    }),
    { numRuns: 1000 },
  );
});

it('whatever the file holds, it is read or refused with its line, and no value is in the message', () => {
  const piece = fc.constantFrom(
    'A',
    'B=',
    '"',
    "'",
    '\\',
    '$',
    '{',
    '}',
    ':-',
    '#',
    ' ',
    '\n',
    'hunter2',
    'export ',
    ':',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      try {
        parse(pieces.join(''));
      } catch (error) {
        expect((error as Error).message).toMatch(/^api\/\.env: line \d+ /);
        // A name is no secret: what stands before "=" may be told, behind ${ too.
        expect((error as Error).message.replace(/needs \w+,/, '')).not.toContain('hunter2');
      }
    }),
    { numRuns: 3000 },
  );
});

it('deep nesting is refused and no crash', () => {
  expect(substitute(`${'${N:-'.repeat(5000)}${'}'.repeat(5000)}`, () => undefined)).toHaveProperty('fault');
});
