// What the agent sends in a stream session after its hello: the stream in pieces, each behind its length in bytes
// (32 bits, big-endian), then a length of zero and one JSON text that tells how it ended. Without that the far program's
// failure would be seen only as a connection that breaks off. The highest bit of the length marks a piece that is an
// aside to the stream: from the agent the far program's stderr, from the client the size of its terminal (terminal.ts).
// rsync's other direction is plain bytes, compose's is in frames too: its end must not be taken for the client's.
import { Transform, type TransformCallback } from 'node:stream';
import * as z from 'zod';
import { wireErrorSchema } from './wire-error.ts';

export const streamEndSchema = z.object({ exitCode: z.number().int(), error: wireErrorSchema.optional() });
export type StreamEnd = z.infer<typeof streamEndSchema>;

const LENGTH_BYTES = 4;
const ASIDE_BIT = 0x80000000;

/** Not of the stream itself, to be written into a framer. */
export interface AsidePiece {
  aside: Buffer;
}

/** Between a stream of bytes and a framer, which then sends them as asides. */
export function asAsides(): Transform {
  return new Transform({
    readableObjectMode: true,
    transform: (chunk: Buffer, _encoding, done) => done(null, { aside: chunk } satisfies AsidePiece),
  });
}

/** Cuts what is written into frames; `finish` adds the last one. */
export class StreamFramer extends Transform {
  #end: StreamEnd | undefined;

  constructor() {
    super({ writableObjectMode: true, writableHighWaterMark: 2 });
  }

  finish(end: StreamEnd): void {
    this.#end = end;
    this.end();
  }

  override _transform(piece: Uint8Array | AsidePiece, _encoding: BufferEncoding, done: TransformCallback): void {
    const [chunk, mark] = 'aside' in piece ? [piece.aside, ASIDE_BIT] : [piece, 0];
    if (chunk.length > 0) {
      this.push(lengthOf(chunk.length + mark));
      this.push(chunk);
    }
    done();
  }

  override _flush(done: TransformCallback): void {
    if (this.#end !== undefined) this.push(Buffer.concat([lengthOf(0), Buffer.from(JSON.stringify(this.#end))]));
    done();
  }
}

export interface UnframerSettings {
  /** Gets the bytes of asides as they come, which is not always as they were cut. Without it they are dropped. */
  onAside?(chunk: Buffer): unknown;
  /** The bytes end with the last frame, and not only with the connection. */
  endsAtLastFrame?: boolean;
}

/** Gives back the bytes; once it has ended, `ending` tells how the stream ended, or undefined where it broke off. */
export class StreamUnframer extends Transform {
  #header = Buffer.alloc(0);
  /** Bytes of the piece that are still to come. */
  #left = 0;
  #isAside = false;
  #endText: Buffer[] | undefined;
  readonly #settings: UnframerSettings;

  constructor(settings: UnframerSettings = {}) {
    super();
    this.#settings = settings;
  }

  ending(): StreamEnd | undefined {
    if (this.#endText === undefined) return undefined;
    try {
      return streamEndSchema.parse(JSON.parse(Buffer.concat(this.#endText).toString('utf8')));
    } catch (error) {
      // Cut off in the middle.
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let rest = chunk;
    while (rest.length > 0) rest = this.#take(rest);
    done();
  }

  /** Uses up the front of `bytes` and gives the rest. */
  #take(bytes: Buffer): Buffer {
    if (this.#endText !== undefined) {
      this.#endText.push(bytes);
      return bytes.subarray(bytes.length);
    }
    if (this.#left > 0) {
      const piece = bytes.subarray(0, this.#left);
      this.#left -= piece.length;
      if (this.#isAside) this.#settings.onAside?.(piece);
      else this.push(piece);
      return bytes.subarray(piece.length);
    }
    const missing = LENGTH_BYTES - this.#header.length;
    this.#header = Buffer.concat([this.#header, bytes.subarray(0, missing)]);
    if (this.#header.length === LENGTH_BYTES) {
      const length = this.#header.readUInt32BE();
      this.#isAside = length >= ASIDE_BIT;
      this.#left = length % ASIDE_BIT;
      this.#header = Buffer.alloc(0);
      if (this.#left === 0) this.#finish();
    }
    return bytes.subarray(missing);
  }

  #finish(): void {
    this.#endText = [];
    if (this.#settings.endsAtLastFrame === true) this.push(null);
  }
}

function lengthOf(bytes: number): Buffer {
  const header = Buffer.alloc(LENGTH_BYTES);
  header.writeUInt32BE(bytes);
  return header;
}
