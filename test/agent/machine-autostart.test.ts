// The start at boot: one that fails never stops the others, what could not be done yet is tried again, and how it went is kept.
import { availableParallelism } from 'node:os';
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
const failed = (code: 'FUNCTION_FAILED' | 'FAILED' | 'WRONG_CREDENTIAL' | 'VOLUME_DAMAGED'): Partial<RunResult> => ({
  outcome: 'failed',
  error: { code, message: `it failed: ${code}` },
});
const done: Partial<RunResult> = { outcome: 'done', output: { services: [{}] } };

function gate() {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

/** Tells pauses from the patience with one that hangs, which is over when the test says so. */
class PatientSystem extends FakeSystem {
  pauses: number[] = [];
  readonly patience = gate();

  override async sleep(ms: number): Promise<void> {
    if (ms === 300_000) return this.patience.passed;
    this.pauses.push(ms);
  }
}

/** `ends`: per repository, how one attempt after the other ends; the last one for all further ones. */
async function boot(
  repos: RepoSummary[],
  ends: Record<string, Partial<RunResult>[]>,
  hanging?: { names: string[]; meanwhile(so: { attempts: string[]; system: PatientSystem }): Promise<void> },
) {
  const system = new PatientSystem();
  const hang = gate();
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
      if (hanging?.names.includes(name)) await hang.passed;
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
  const started = startAtBoot({ runs, listRepos }, context as unknown as RunContext);
  await hanging?.meanwhile({ attempts, system });
  hang.open();
  const { outcome, output } = await started;
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
    const { outcome, attempts, listed } = await boot([repo(0), repo(1), repo(2)], {
      r0: [failed('WRONG_CREDENTIAL')],
      r1: [done],
      r2: [failed('VOLUME_DAMAGED')],
    });
    expect(outcome).toBe('partial');
    expect(attempts.sort()).toEqual(['r0', 'r1', 'r2']);
    expect(listed[0]?.lastBoot).toMatchObject({ result: 'failed', reason: 'it failed: WRONG_CREDENTIAL' });
    expect(listed[1]?.lastBoot).toMatchObject({ result: 'done', services: 1 });
  });

  test('a function or a daemon that fails is tried again, later each time', async () => {
    const { attempts, listed, system } = await boot([repo(0)], {
      r0: [failed('FUNCTION_FAILED'), failed('FAILED'), done],
    });
    expect(attempts).toHaveLength(3);
    expect(system.pauses).toEqual([15_000, 60_000]);
    expect(listed[0]?.lastBoot).toMatchObject({ result: 'done' });
  });

  test('not for ever', async () => {
    const { outcome, attempts } = await boot([repo(0)], { r0: [failed('FUNCTION_FAILED')] });
    expect(outcome).toBe('partial');
    expect(attempts).toHaveLength(4);
  });

  test('those that hang hold up the others for a while only', async () => {
    const repos = Array.from({ length: availableParallelism() + 2 }, (_, index) => repo(index));
    const names = repos.slice(0, -1).map(({ name }) => name);
    const all = repos.map(({ name }) => name);
    const turn = () => new Promise((resolve) => setTimeout(resolve, 20));
    const { outcome } = await boot(
      repos,
      {},
      {
        names,
        async meanwhile({ attempts, system }) {
          await turn();
          expect(attempts).toEqual(names);
          system.patience.open();
          await turn();
          expect(attempts).toEqual(all);
        },
      },
    );
    expect(outcome).toBe('done');
  });
});
