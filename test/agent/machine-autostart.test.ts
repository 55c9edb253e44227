// The start at boot: one that fails never stops the others, what prep() could not do is tried again, and how it went is kept.
import { describe, expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { listAutostart, startAtBoot } from '../../src/agent/machine-autostart.ts';
import type { Guid, RunId } from '../../src/protocol/ids.ts';
import type { RepoSummary, RunResult } from '../../src/protocol/operations.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const guidOf = (index: number) => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}` as Guid;
const repo = (index: number, more: Partial<RepoSummary> = {}) =>
  ({
    name: `r${index}`,
    guid: guidOf(index),
    networkId: 2816,
    state: 'closed',
    autostart: true,
    ...more,
  }) as RepoSummary;
const failed = (code: 'FUNCTION_FAILED' | 'WRONG_CREDENTIAL'): Partial<RunResult> => ({
  outcome: 'failed',
  error: { code, message: `it failed: ${code}` },
});
const done: Partial<RunResult> = { outcome: 'done', output: { services: [{}] } };

/** `ends`: per repository, how one attempt after the other ends; the last one for all further ones. */
async function boot(repos: RepoSummary[], ends: Record<string, Partial<RunResult>[]>) {
  const system = new FakeSystem();
  const attempts: string[] = [];
  const runs = {
    start: async ({ input }: { input: unknown }) => {
      const { guid, name } = repos.find(({ guid: one }) => one === (input as { repo: Guid }).repo) as RepoSummary;
      attempts.push(name);
      const attempt = attempts.filter((one) => one === name).length;
      return `${String(attempt).padStart(12, '0')}-${guid.slice(-8)}` as RunId;
    },
    follow: async (run: RunId) => {
      const [attempt, tail = ''] = run.split('-');
      const name = repos.find(({ guid }) => guid.endsWith(tail))?.name ?? '';
      const end = ends[name]?.at(Math.min(Number(attempt), ends[name].length) - 1);
      return { run, warnings: [], outcome: 'done', ...end } as RunResult;
    },
    cancel: async () => false,
  };
  const context = {
    system,
    actor: 'boot',
    dryRun: false,
    report: () => undefined,
    signal: new AbortController().signal,
  };
  const listRepos = async () => repos;
  const { outcome, output } = await startAtBoot({ runs, listRepos }, context as unknown as RunContext);
  const { repositories } = await listAutostart({ system }, listRepos);
  return { outcome, rows: output?.repositories ?? [], attempts, listed: repositories, system };
}

describe('the start at boot', () => {
  test('only what is marked; what runs already is left', async () => {
    const repos = [repo(0), repo(1, { autostart: false }), repo(2, { state: 'up' })];
    const { outcome, attempts, listed } = await boot(repos, { r0: [done] });
    expect(outcome).toBe('done');
    expect(attempts).toEqual(['r0']);
    expect(listed.map(({ name, enabled, lastBoot }) => [name, enabled, lastBoot?.result])).toEqual([
      ['r0', true, 'done'],
      ['r1', false, undefined],
      ['r2', true, 'already'],
    ]);
  });

  test('a broken one is told with its reason, and tried once: a key does not come late', async () => {
    const { outcome, attempts, listed } = await boot([repo(0), repo(1)], {
      r0: [failed('WRONG_CREDENTIAL')],
      r1: [done],
    });
    expect(outcome).toBe('partial');
    expect(attempts.sort()).toEqual(['r0', 'r1']);
    expect(listed[0]?.lastBoot).toMatchObject({ result: 'failed', reason: 'it failed: WRONG_CREDENTIAL' });
    expect(listed[1]?.lastBoot).toMatchObject({ result: 'done', services: 1 });
  });

  test('a function that fails is called again, later each time', async () => {
    const { attempts, listed, system } = await boot([repo(0)], {
      r0: [failed('FUNCTION_FAILED'), failed('FUNCTION_FAILED'), done],
    });
    expect(attempts).toHaveLength(3);
    expect(system.clockMs).toBe(75_000);
    expect(listed[0]?.lastBoot).toMatchObject({ result: 'done' });
  });

  test('not for ever', async () => {
    const { outcome, attempts } = await boot([repo(0)], { r0: [failed('FUNCTION_FAILED')] });
    expect(outcome).toBe('partial');
    expect(attempts).toHaveLength(4);
  });
});
