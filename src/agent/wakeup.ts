// Waiting for "there is more" without missing any and without leaving listeners behind.

export class Wakeup {
  #count = 0;
  readonly #waiting = new Set<() => void>();

  /** How often it was woken so far. */
  get count(): number {
    return this.#count;
  }

  wake(): void {
    this.#count += 1;
    for (const done of [...this.#waiting]) done();
  }

  /** Resolves once it was woken more than `count` times, at once if it was already; or when the signal is aborted. */
  beyond(count: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#count > count || signal?.aborted) {
        resolve();
        return;
      }
      const done = () => {
        this.#waiting.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }
}
