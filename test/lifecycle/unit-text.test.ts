import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { command } from '../../src/lifecycle/command.ts';
import { execLine, literalWords, unitText } from '../../src/lifecycle/unit-text.ts';

it('Exec words are quoted by the rules of systemd', () => {
  expect(execLine(command('/usr/bin/ip', 'netns', 'add', 'rd2816'))).toBe('/usr/bin/ip netns add rd2816');
  expect(execLine(command('nft', '{ "a" . 1 }'), true)).toBe('-nft "{ \\"a\\" . 1 }"');
  expect(execLine(command('sh', '100% $HOME'))).toBe('sh "100%% $$HOME"');
  expect(execLine(command('sh', '-c', 'echo "a\\b"\nls'))).toBe('sh -c "echo \\"a\\\\b\\"\\nls"');
});

it('sections without lines are left out', () => {
  expect(
    unitText([
      ['Unit', []],
      ['Service', [['Slice', 'a.slice']]],
    ]),
  ).toBe('[Service]\nSlice=a.slice\n');
});

it('words for systemd-run come as they are, with no dollar on the way', () => {
  const words = [
    '',
    ' a  b ',
    '$1',
    '$$',
    '${HOME}x',
    '\\',
    '\\\\0044',
    '\\044',
    '100% "\'`',
    'two\nlines\n',
    '*',
    '-n',
    ';',
    'ä',
  ];
  const [file = '', ...args] = literalWords(['/usr/bin/printf', '[%s]', ...words]);
  expect(args.join('')).not.toContain('$');
  for (const shell of [file, 'bash']) {
    expect(execFileSync(shell, args, { encoding: 'utf8' })).toBe(words.map((word) => `[${word}]`).join(''));
  }
});
