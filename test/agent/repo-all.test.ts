// How the agent carries out up-all: as many at once as wanted, and its parts end with it.
import { describe, expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { type AllDeps, createAllHandlers } from '../../src/agent/repo-all.ts';
import type { DamagedRecord } from '../../src/agent/repo-store.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { Guid, RunId } from '../../src/protocol/ids.ts';
import { OPERATIONS, type RepoSummary, type RunResult } from '../../src/protocol/operations.ts';

const guidOf = (index: number) => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}` as Guid;

function repos(count: number, more: Partial<RepoSummary> = {}): RepoSummary[] {
  return Array.from({ length: count }, (_, index) => ({
    ...({ name: `r${index}`, guid: guidOf(index), networkId: 2816, subnet: '', state: 'mounted' } as RepoSummary),
    ...more,
  }));
}

/** Runs that go on until they are told how to end. */
function world(listed: RepoSummary[], damaged: DamagedRecord[] = []) {
  const going = new Map<RunId, (outcome: RunResult['outcome']) => void>();
  const results = new Map<RunId, Promise<RunResult>>();
  const events: RunEvent[] = [];
  let most = 0;
  const deps: AllDeps = {
    listRepos: async () => listed,
    damaged: async () => damaged,
    hasKeyFile: async () => false,
    runs: {
      async start({ input }) {
        const run = String((input as { repo: Guid }).repo) as RunId;
        results.set(
          run,
          new Promise((resolve) => {
            going.set(run, (outcome) => {
              going.delete(run);
              resolve({ run, outcome, warnings: [] });
            });
          }),
        );
        most = Math.max(most, going.size);
        return run;
      },
      async follow(run, { onEvents }) {
        const event: RunEvent = { kind: 'step', id: 'x', title: 'open the encrypted volume', state: 'start' };
        await onEvents([{ run, seq: 1, at: 0, event }]);
        return (await results.get(run)) as RunResult;
      },
      list: async () => [],
      async cancel(run) {
        going.get(run)?.('cancelled');
        return true;
      },
    },
  };
  const controller = new AbortController();
  const context = {
    actor: 'a',
    signal: controller.signal,
    dryRun: false,
    report: (event: RunEvent) => events.push(event),
  };
  const start = (input: object) =>
    createAllHandlers(deps)['repo.up-all'](
      OPERATIONS['repo.up-all'].input.parse(input),
      context as unknown as RunContext,
    );
  return { going, events, controller, start, most: () => most };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('up-all', () => {
  test('one that is up is already so, but not while somebody is changing it', async () => {
    const busy = { run: 'x' as RunId, operation: 'repo up', actor: 'anna', since: 0 };
    const listed = [...repos(1, { state: 'up' }), ...repos(2, { state: 'up', busy }).slice(1)];
    const { going, start } = world(listed);
    const ended = start({ concurrency: 2 });
    await turn();
    await turn();
    expect([...going.keys()]).toEqual([guidOf(1)]);
    for (const end of going.values()) end('done');
    const { output } = await ended;
    expect(output?.repositories).toMatchObject([
      { name: 'r0', result: 'already' },
      { name: 'r1', result: 'done' },
    ]);
  });

  test.each([1, 3])('%d at a time, never more, and the next begins when one has ended', async (concurrency) => {
    const { going, start, most } = world(repos(7));
    const whole = start({ concurrency });
    for (let ended = 0; ended < 7; ended += 1) {
      await turn();
      expect(going.size).toBe(Math.min(concurrency, 7 - ended));
      const [end] = going.values();
      end?.(ended === 2 ? 'failed' : 'done');
    }
    const { outcome, output } = await whole;
    expect(outcome).toBe('partial');
    expect(output?.repositories.map(({ result }) => result).sort()).toEqual([
      'done',
      'done',
      'done',
      'done',
      'done',
      'done',
      'failed',
    ]);
    expect(most()).toBe(concurrency);
  });

  test('tells what each one is at', async () => {
    const { going, start, events } = world(repos(1));
    const whole = start({});
    await turn();
    for (const end of going.values()) end('done');
    await whole;
    const id = `repo.${guidOf(0)}`;
    expect(events).toEqual([
      { kind: 'step', id, title: 'r0', state: 'start' },
      { kind: 'phase', id, text: 'open the encrypted volume' },
      { kind: 'step', id, title: 'r0', state: 'done', ms: expect.any(Number) },
    ]);
  });

  test('cancelled, it cancels what goes on, waits for its end and begins nothing more', async () => {
    const { going, start, controller, most } = world(repos(5));
    const whole = start({ concurrency: 2 });
    await turn();
    controller.abort();
    await expect(whole).rejects.toThrow();
    expect(going.size).toBe(0);
    expect(most()).toBe(2);
  });

  test('forks only when they are asked for', async () => {
    const all = [...repos(1), { ...repos(2)[1], parent: guidOf(0) } as RepoSummary].map((repo) => ({
      ...repo,
      state: 'up' as const,
    }));
    expect((await world(all).start({})).output?.repositories).toHaveLength(1);
    expect((await world(all).start({ includeForks: true })).output?.repositories).toHaveLength(2);
  });

  test('tells of a damaged record, and does the rest', async () => {
    const damaged = [{ guid: guidOf(9), error: new RdcError('CONFIG_INVALID', 'the record is damaged') }];
    const { outcome, output } = await world(
      repos(1).map((repo) => ({ ...repo, state: 'up' as const })),
      damaged,
    ).start({});
    expect(outcome).toBe('partial');
    expect(output?.repositories).toMatchObject([
      { name: 'r0', result: 'already' },
      { guid: guidOf(9), result: 'failed', reason: 'the record is damaged' },
    ]);
  });
});
