// What is asked again after a lost link, when nobody can know whether the first asking has arrived, is answered once.
import { isCode } from '../protocol/errors.ts';

/** Those of a few minutes are enough: who asks again does so for five. */
const MOST_KEPT = 1000;

export class AskedOnce<T> {
  readonly #answers = new Map<string, Promise<T>>();

  /**
   * The answer to this key: the first asker's, once there is one. What was refused may be asked anew. `signal`: the one
   * who asks now is gone.
   */
  async answer(key: string | undefined, begin: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (key === undefined) return await begin();
    for (;;) {
      const known = this.#answers.get(key);
      if (known === undefined) return await this.#first(key, begin);
      try {
        return await known;
      } catch (error) {
        // The first asker's link has ended only now, and its waiting with it: that is not this one's end.
        if (!isCode(error, 'CANCELLED') || signal?.aborted === true) throw error;
      }
    }
  }

  async #first(key: string, begin: () => Promise<T>): Promise<T> {
    const answer = begin();
    this.#answers.set(key, answer);
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > MOST_KEPT && oldest !== undefined) this.#answers.delete(oldest);
    try {
      return await answer;
    } catch (error) {
      this.#answers.delete(key);
      throw error;
    }
  }
}
