// Keeps the end of what a program said: enough to explain a failure, never enough to fill the memory.

export class Tail {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #size = 0;

  /** `limit` in bytes. */
  constructor(limit = 64 * 1024) {
    this.#limit = limit;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size <= this.#limit * 2) return;
    this.#chunks = [this.#end()];
    this.#size = this.#limit;
  }

  text(): string {
    return this.#end().toString('utf8');
  }

  #end(): Buffer {
    return Buffer.concat(this.#chunks).subarray(-this.#limit);
  }
}
