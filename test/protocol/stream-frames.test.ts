import { Readable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StreamFramer, StreamUnframer } from '../../src/protocol/stream-frames.ts';

async function framed(chunks: readonly Uint8Array[]): Promise<Buffer> {
  const framer = new StreamFramer();
  for (const chunk of chunks) framer.write(chunk);
  framer.finish({ exitCode: 11, error: { code: 'NO_SPACE', message: 'full' } });
  return Buffer.concat(await framer.toArray());
}

async function unframed(bytes: Buffer, cut: number): Promise<{ text: Buffer; unframer: StreamUnframer }> {
  const pieces = Array.from({ length: Math.ceil(bytes.length / cut) }, (_, at) =>
    bytes.subarray(at * cut, (at + 1) * cut),
  );
  const unframer = new StreamUnframer();
  const text = Buffer.concat(await Readable.from(pieces).pipe(unframer).toArray());
  return { text, unframer };
}

test('every byte arrives, however the line cuts them, and then how it ended', async () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 1, max: 40 }), async (written, cut) => {
      const { text, unframer } = await unframed(await framed(written), cut);
      expect(text.equals(Buffer.concat(written))).toBe(true);
      expect(unframer.ending()).toEqual({ exitCode: 11, error: { code: 'NO_SPACE', message: 'full' } });
    }),
    { numRuns: 50 },
  );
});

test('a stream that breaks off has no end, wherever it was cut', async () => {
  const whole = await framed([Buffer.from('abc')]);
  for (let length = 1; length < whole.length; length++) {
    expect((await unframed(whole.subarray(0, length), 5)).unframer.ending()).toBeUndefined();
  }
});

test('asides come apart, and the bytes may end with the last frame', async () => {
  const framer = new StreamFramer();
  for (const piece of ['a', { aside: Buffer.from('x') }, 'b', { aside: Buffer.from('y') }]) {
    framer.write(typeof piece === 'string' ? Buffer.from(piece) : piece);
  }
  framer.finish({ exitCode: 3 });
  const bytes = Buffer.concat(await framer.toArray());
  const asides: string[] = [];
  const settings = { endsAtLastFrame: true, onAside: (chunk: Buffer) => asides.push(chunk.toString()) };
  const unframer = new StreamUnframer(settings);
  // Never ended: the last frame does it.
  unframer.write(bytes);
  expect([Buffer.concat(await unframer.toArray()).toString(), asides, unframer.ending()]).toEqual([
    'ab',
    ['x', 'y'],
    { exitCode: 3 },
  ]);
});
