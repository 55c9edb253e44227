// The end of a stream, in bounded memory: everything is passed on as it comes, only the last part is kept.
import type { Readable } from 'node:stream';

const KEPT_BYTES = 1024 ** 2;
/** A line of its own is a buffer of its own, and that takes more than a line. */
const MOST_CHUNKS = 1024;

interface TailOptions {
  onChunk?: (chunk: Buffer) => void;
  /** At most so much is kept; 1 MiB. */
  bytes?: number | undefined;
}

/** Reads the stream to its end; the answer gives what is kept of it so far: its last bytes. */
export function keepTail(stream: Readable, { onChunk, bytes = KEPT_BYTES }: TailOptions = {}): () => string {
  let chunks: Buffer[] = [];
  let kept = 0;
  stream.on('data', (chunk: Buffer) => {
    onChunk?.(chunk);
    chunks.push(chunk);
    kept += chunk.length;
    // Twice the size before it is cut, so that not every chunk costs a copy.
    if (kept > 2 * bytes || chunks.length > MOST_CHUNKS) {
      const tail = Buffer.concat(chunks).subarray(-bytes);
      chunks = [tail];
      kept = tail.length;
    }
  });
  return () => Buffer.concat(chunks).subarray(-bytes).toString('utf8');
}
