import { expect, it } from 'vitest';
import { command } from '../../src/lifecycle/command.ts';
import { execLine, unitText } from '../../src/lifecycle/unit-text.ts';

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
