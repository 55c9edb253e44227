// A server with too many logins under way takes no further one: it hangs up before it says a word (MaxStartups in sshd_config(5), by
// chance from the tenth on). That passes within seconds, so the login is tried again, later each time.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TurnedAway } from './failure.ts';

/** Milliseconds before each further try, on average. Spread, or those who came together would come together again. */
const WAITS = [500, 1000, 2000, 3000, 4000, 5000, 6000] as const;

export interface Patience {
  signal?: AbortSignal | undefined;
  /** Called before each further try. */
  report(message: string): void;
  /** Default: WAITS. */
  waits?: readonly number[];
}

/** `attempt` must throw TurnedAway before anything was asked of the server. */
export async function untilTaken<T>(attempt: () => Promise<T>, patience: Patience): Promise<T> {
  const { signal, report, waits = WAITS } = patience;
  for (const wait of waits) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TurnedAway) || signal?.aborted === true) throw error;
      report(`machine "${error.machine}" takes no more logins at this moment; trying again`);
      // Ended early by Ctrl-C: the next attempt says so.
      await sleep(randomInt(Math.ceil(wait / 2), Math.ceil(wait * 1.5) + 1), undefined, { signal }).catch(
        () => undefined,
      );
    }
  }
  return attempt();
}
