import { expect, test } from 'vitest';
import { sizeLine, sizeReader, type TerminalSize, terminalSchema } from '../../src/protocol/terminal.ts';

function read(chunks: readonly (string | Buffer)[]): TerminalSize[] {
  const sizes: TerminalSize[] = [];
  const reader = sizeReader((size) => sizes.push(size));
  for (const chunk of chunks) reader(Buffer.from(chunk));
  return sizes;
}

test('a size arrives however it was cut', () => {
  const line = sizeLine({ columns: 101, rows: 33 });
  for (let cut = 0; cut <= line.length; cut++) {
    expect(read([line.subarray(0, cut), line.subarray(cut)])).toEqual([{ columns: 101, rows: 33 }]);
  }
});

test('of several at once the last one counts, and what is no size is passed over', () => {
  const [first, last] = [sizeLine({ columns: 1, rows: 1 }), sizeLine({ columns: 0, rows: 2 })];
  expect(read([Buffer.concat([first, last])])).toEqual([{ columns: 0, rows: 2 }]);
  expect(
    read(['{"columns":-1,"rows":2}\n', '{"columns":70000,"rows":2}\n', 'no\n', `${'x'.repeat(10_000)}\n`, last]),
  ).toEqual([{ columns: 0, rows: 2 }]);
});

test.each(['', '-x', 'a b', 'x;y', 'x'.repeat(65)])('TERM "%s" is none', (name) => {
  expect(terminalSchema.safeParse({ columns: 1, rows: 1, name }).success).toBe(false);
});
