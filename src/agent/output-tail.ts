// The end of a stream, in bounded memory: everything is passed on as it comes, only the last part is kept.
import type { Readable } from 'node:stream';

const KEPT_BYTES = 1024 ** 2;

/** Reads the stream to its end; the answer gives what is kept of it so far, at most its last 1 MiB. */
export function keepTail(stream: Readable, onChunk?: (chunk: Buffer) => void): () => string {
  let chunks: Buffer[] = [];
  let kept = 0;
  stream.on('data', (chunk: Buffer) => {
    onChunk?.(chunk);
    chunks.push(chunk);
    kept += chunk.length;
    // Twice the size before it is cut, so that not every chunk costs a copy.
    if (kept > 2 * KEPT_BYTES) {
      chunks = [Buffer.concat(chunks).subarray(-KEPT_BYTES)];
      kept = KEPT_BYTES;
    }
  });
  return () => Buffer.concat(chunks).subarray(-KEPT_BYTES).toString('utf8');
}
