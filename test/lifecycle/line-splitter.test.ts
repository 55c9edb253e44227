import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLineSplitter, type Line } from '../../src/lifecycle/line-splitter.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Chunk = [stream: 'stdout' | 'stderr', bytes: string | Buffer];

function splitLines(...chunks: Chunk[]): Line[] {
  const lines: Line[] = [];
  const splitter = createLineSplitter((line) => lines.push(line));
  for (const [stream, bytes] of chunks) splitter.write(stream, Buffer.from(bytes as string));
  splitter.end();
  return lines;
}

const split = (...chunks: Chunk[]) => splitLines(...chunks).map(({ stream, text }) => `${stream}:${text}`);

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

it('a line without end comes in parts of bounded length, and no character is cut', () => {
  const lines = splitLines(['stdout', `x${'é'.repeat(20_000)}\n`]);
  expect(lines.map(({ text }) => text).join('')).toBe(`x${'é'.repeat(20_000)}`);
  expect(lines.map(({ partial }) => partial)).toEqual([true, true, undefined]);
  expect(lines.every(({ text, raw }) => Buffer.byteLength(text) <= 16_384 && raw === undefined)).toBe(true);
});

it('a prompt comes after half a second, and the rest of its line neither lost nor twice', () => {
  const lines: Line[] = [];
  const splitter = createLineSplitter((line) => lines.push(line));
  splitter.write('stdout', Buffer.from('Password: '));
  vi.advanceTimersByTime(499);
  expect(lines).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(lines).toEqual([{ stream: 'stdout', text: 'Password: ', partial: true }]);
  splitter.write('stdout', Buffer.from('ok\nnext\n'));
  splitter.end();
  expect(lines.slice(1)).toEqual([
    { stream: 'stdout', text: 'ok' },
    { stream: 'stdout', text: 'next' },
  ]);
});

it('the end of a line that came in parts is told, so that the next line does not go on from it', () => {
  const lines: Line[] = [];
  const splitter = createLineSplitter((line) => lines.push(line));
  splitter.write('stdout', Buffer.from('10%\r20%\r'));
  vi.advanceTimersByTime(1000);
  splitter.write('stdout', Buffer.from('\n\nz'));
  splitter.end();
  expect(lines.map(({ text, partial }) => [text, partial])).toEqual([
    ['10%\r20%\r', true],
    ['', undefined],
    ['', undefined],
    ['z', undefined],
  ]);
});

it('bytes that are no UTF-8 are kept beside the text; U+FFFD itself is text', () => {
  const bytes = Buffer.from([0x61, 0xff, 0xe9, 0x0a]);
  const [line] = splitLines(['stdout', bytes]);
  expect(Buffer.from(line?.raw ?? '', 'base64')).toEqual(bytes.subarray(0, 3));
  expect(splitLines(['stdout', '\uFFFD\n'])).toEqual([{ stream: 'stdout', text: '\uFFFD' }]);
});

it('ANSI sequences pass', () =>
  expect(split(['stdout', '\x1b[31mred\x1b[0m\n'])).toEqual(['stdout:\x1b[31mred\x1b[0m']));

it('50 MB in chunks pass through bounded memory', () => {
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let bytes = 0;
  let longest = 0;
  const splitter = createLineSplitter(({ text }) => {
    bytes += text.length;
    longest = Math.max(longest, text.length);
  });
  for (let sent = 0; sent < 800; sent++) splitter.write('stdout', chunk);
  splitter.end();
  expect(bytes).toBe(800 * chunk.length);
  expect(longest).toBeLessThanOrEqual(16_384);
});

it('whatever comes in whatever chunks, with whatever pauses, every byte comes out again', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.constantFrom('é€😀', '\n', '\r', '\r\n', 'abc').map((text) => Uint8Array.from(Buffer.from(text))),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(piece, fc.boolean()), { maxLength: 30 }), (pieces) => {
      const out: Buffer[] = [];
      let open = false;
      const splitter = createLineSplitter(({ text, partial, raw }) => {
        out.push(raw === undefined ? Buffer.from(text) : Buffer.from(raw, 'base64'));
        open = partial === true;
        if (!open) out.push(Buffer.from('\n'));
      });
      for (const [bytes, pause] of pieces) {
        splitter.write('stdout', Buffer.from(bytes));
        if (pause) vi.advanceTimersByTime(600);
      }
      splitter.end();
      // CR at a line's end and the line end itself are told by the cut, wherever a pause fell between them.
      const plain = (all: Buffer) => all.toString('latin1').replaceAll('\r', '').replaceAll('\n', '');
      expect(plain(Buffer.concat(out))).toBe(plain(Buffer.concat(pieces.map(([bytes]) => Buffer.from(bytes)))));
    }),
    { numRuns: 500 },
  );
});
