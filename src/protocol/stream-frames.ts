// What the agent sends in a stream session after its hello: the stream in pieces, each behind its length in bytes
// (32 bits, big-endian), then a length of zero and one JSON text that tells how it ended. Without that the far program's
// failure would be seen only as a connection that breaks off. The other direction is plain bytes.
import { Transform, type TransformCallback } from 'node:stream';
import * as z from 'zod';
import { wireErrorSchema } from './wire-error.ts';

export const streamEndSchema = z.object({ exitCode: z.number().int(), error: wireErrorSchema.optional() });
export type StreamEnd = z.infer<typeof streamEndSchema>;

const LENGTH_BYTES = 4;

/** Cuts what is written into frames; `finish` adds the last one. */
export class StreamFramer extends Transform {
  #end: StreamEnd | undefined;

  finish(end: StreamEnd): void {
    this.#end = end;
    this.end();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (chunk.length > 0) {
      this.push(lengthOf(chunk.length));
      this.push(chunk);
    }
    done();
  }

  override _flush(done: TransformCallback): void {
    if (this.#end !== undefined) this.push(Buffer.concat([lengthOf(0), Buffer.from(JSON.stringify(this.#end))]));
    done();
  }
}

/** Gives back the bytes; once it has ended, `ending` tells how the stream ended, or undefined where it broke off. */
export class StreamUnframer extends Transform {
  #header = Buffer.alloc(0);
  /** Bytes of the piece that are still to come. */
  #left = 0;
  #endText: Buffer[] | undefined;

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
      this.push(piece);
      return bytes.subarray(piece.length);
    }
    const missing = LENGTH_BYTES - this.#header.length;
    this.#header = Buffer.concat([this.#header, bytes.subarray(0, missing)]);
    if (this.#header.length === LENGTH_BYTES) {
      this.#left = this.#header.readUInt32BE();
      this.#header = Buffer.alloc(0);
      if (this.#left === 0) this.#endText = [];
    }
    return bytes.subarray(missing);
  }
}

function lengthOf(bytes: number): Buffer {
  const header = Buffer.alloc(LENGTH_BYTES);
  header.writeUInt32BE(bytes);
  return header;
}
