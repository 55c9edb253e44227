// When the supervisor tries again, and when it gives up. Pure: what was tried and when, and the clock, come in as values.

/** How often something was tried without rest in between. */
export interface Tries {
  count: number;
  /** The last one; milliseconds since the epoch. */
  lastAt: number;
}

export interface Rule {
  /** So many tries without rest, then it is given up. */
  limit: number;
  /** Milliseconds before the first, second, … try, counted from the one before; the last holds for all further ones. */
  pausesMs: readonly number[];
  /** After so long without a try, the earlier ones are forgotten. */
  restMs: number;
}

export type Verdict = { act: 'try'; afterMs: number } | { act: 'give-up' };

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** docs/operations.md names these figures. */
export const RULES = {
  /** systemd starts it again after 2 s by itself; here its deaths are counted. */
  daemon: { limit: 3, pausesMs: [0], restMs: 10 * MINUTE },
  /** The limit is the machine's setting. */
  container: { limit: 5, pausesMs: [0, 10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE], restMs: 30 * MINUTE },
  repository: { limit: 2, pausesMs: [0, MINUTE], restMs: 60 * MINUTE },
  guard: { limit: 10, pausesMs: [0, 0, 0, 10 * SECOND], restMs: 10 * MINUTE },
} as const satisfies Record<string, Rule>;

/** What is to be done about something that has just been seen to be wrong. */
export function judge(tries: Tries | undefined, now: number, rule: Rule): Verdict {
  const count = standing(tries, now, rule);
  if (count >= rule.limit) return { act: 'give-up' };
  const pause = rule.pausesMs[Math.min(count, rule.pausesMs.length - 1)] ?? 0;
  const elapsed = tries === undefined ? pause : sinceThen(tries, now);
  return { act: 'try', afterMs: Math.max(0, pause - elapsed) };
}

/** With one more try, made now. */
export function counted(tries: Tries | undefined, now: number, rule: Rule): Tries {
  return { count: standing(tries, now, rule) + 1, lastAt: now };
}

function standing(tries: Tries | undefined, now: number, rule: Rule): number {
  return tries === undefined || sinceThen(tries, now) >= rule.restMs ? 0 : tries.count;
}

/** A clock that was set back must not make a pause endless. */
function sinceThen({ lastAt }: Tries, now: number): number {
  return Math.max(0, now - lastAt);
}
