// Reads lines from a stream that later carries something else: what was not asked for is given back untouched.
import type { Readable } from 'node:stream';

/** Longer lines are noise, not ours: only their end is kept. */
const MAX_LINE = 64 * 1024;

export class LineReader {
  readonly #stream: Readable;
  #buffer: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(stream: Readable) {
    this.#stream = stream;
    stream.on('data', this.#onData);
    stream.on('end', this.#onEnd);
    stream.on('close', this.#onEnd);
    // A reader before this one may have paused it.
    stream.resume();
  }

  /** The next line without its end, or undefined once the stream has ended. A last line without an end counts. One caller at a time. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const end = this.#buffer.indexOf(0x0a);
      if (end >= 0) {
        const line = this.#buffer.toString('utf8', 0, end);
        this.#buffer = this.#buffer.subarray(end + 1);
        return line.replace(/\r$/, '');
      }
      if (this.#ended) return this.#rest();
      this.#buffer = this.#buffer.subarray(-MAX_LINE);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Stops reading, pauses the stream and gives back to it what was read too far. */
  release(): void {
    this.#stream.off('data', this.#onData);
    this.#stream.off('end', this.#onEnd);
    this.#stream.off('close', this.#onEnd);
    this.#stream.pause();
    if (this.#buffer.length > 0 && !this.#ended) this.#stream.unshift(this.#buffer);
    this.#buffer = Buffer.alloc(0);
  }

  #rest(): string | undefined {
    const line = this.#buffer.toString('utf8');
    this.#buffer = Buffer.alloc(0);
    return line === '' ? undefined : line;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    this.#wake?.();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wake?.();
  };
}
