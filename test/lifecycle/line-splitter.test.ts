import { expect, it } from 'vitest';
import { createLineSplitter } from '../../src/lifecycle/line-splitter.ts';

function split(...chunks: [stream: 'stdout' | 'stderr', bytes: string | Buffer][]): string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter((stream, text) => lines.push(`${stream}:${text}`));
  for (const [stream, bytes] of chunks) splitter.write(stream, Buffer.from(bytes as string));
  splitter.end();
  return lines;
}

it('lines come whole, per stream, CR LF and a last line without end included', () => {
  expect(split(['stdout', 'a\nb'], ['stderr', 'x\r\n'], ['stdout', 'c\nd'])).toEqual([
    'stdout:a',
    'stderr:x',
    'stdout:bc',
    'stdout:d',
  ]);
});

it('a character that is cut in two stays whole', () => {
  const bytes = Buffer.from('é\n');
  expect(split(['stdout', bytes.subarray(0, 1)], ['stdout', bytes.subarray(1)])).toEqual(['stdout:é']);
});

it('a line without end is cut at a bound', () => {
  expect(split(['stdout', 'x'.repeat(40_000)]).map((line) => line.length)).toEqual([16_391, 16_391, 7_239]);
});
