// When the supervisor tries again and when it gives up: whatever goes wrong and whenever, within the rule.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { counted, judge, RULES, type Rule, type Tries } from '../../src/agent/supervision-policy.ts';

const rules = fc.record({
  limit: fc.integer({ min: 0, max: 8 }),
  pausesMs: fc.array(fc.integer({ min: 0, max: 300_000 }), { minLength: 1, maxLength: 6 }),
  restMs: fc.integer({ min: 300_001, max: 3_600_000 }),
});

/** Something is seen to be wrong after each of the gaps; the moments at which something was done about it. */
function live(rule: Rule, gaps: readonly number[]): { tries: number[]; gaveUp: number } {
  let now = 1_700_000_000_000;
  let tries: Tries | undefined;
  let gaveUp = 0;
  const at: number[] = [];
  for (const gap of gaps) {
    now += gap;
    const verdict = judge(tries, now, rule);
    if (verdict.act === 'give-up') {
      gaveUp += 1;
      continue;
    }
    now += verdict.afterMs;
    tries = counted(tries, now, rule);
    at.push(now);
  }
  return { tries: at, gaveUp };
}

/** Tries that follow each other without rest. */
function series(at: readonly number[], restMs: number): number[][] {
  const all: number[][] = [];
  for (const moment of at) {
    const last = all.at(-1);
    const previous = last?.at(-1);
    if (last === undefined || previous === undefined || moment - previous >= restMs) all.push([moment]);
    else last.push(moment);
  }
  return all;
}

describe('whatever happens', () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 4_000_000 }), { maxLength: 60 });

  test('never more tries without rest than the limit', () => {
    fc.assert(
      fc.property(rules, gaps, (rule, list) => {
        for (const part of series(live(rule, list).tries, rule.restMs))
          expect(part.length).toBeLessThanOrEqual(rule.limit);
      }),
    );
  });

  test('never sooner than the pause', () => {
    fc.assert(
      fc.property(rules, gaps, (rule, list) => {
        for (const part of series(live(rule, list).tries, rule.restMs)) {
          for (let index = 1; index < part.length; index += 1) {
            const pause = rule.pausesMs[Math.min(index, rule.pausesMs.length - 1)] ?? 0;
            expect((part[index] ?? 0) - (part[index - 1] ?? 0)).toBeGreaterThanOrEqual(pause);
          }
        }
      }),
    );
  });

  test('what never rests is given up', () => {
    fc.assert(
      fc.property(rules, (rule) => {
        const { tries, gaveUp } = live(
          rule,
          Array.from({ length: 20 }, () => 1),
        );
        expect(tries.length).toBe(rule.limit);
        expect(gaveUp).toBe(20 - rule.limit);
      }),
    );
  });

  test('what rests is never given up', () => {
    fc.assert(
      fc.property(rules, (rule) => {
        fc.pre(rule.limit > 0);
        expect(
          live(
            rule,
            Array.from({ length: 20 }, () => rule.restMs),
          ).gaveUp,
        ).toBe(0);
      }),
    );
  });
});

test('a clock that was set back makes no pause longer than it is', () => {
  const tries = { count: 2, lastAt: 1_700_000_000_000 };
  expect(judge(tries, 1_600_000_000_000, RULES.container)).toEqual({ act: 'try', afterMs: 30_000 });
});

test('the rules of the product', () => {
  const { tries } = live(
    RULES.container,
    Array.from({ length: 9 }, () => 0),
  );
  expect(tries.map((at) => (at - (tries[0] ?? 0)) / 1000)).toEqual([0, 10, 40, 100, 220]);
});
