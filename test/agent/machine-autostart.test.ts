// The start at boot: one that fails never stops the others, what could not be done yet is tried again, and how it went is kept.
import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { type BootDeps, listAutostart, startAtBoot } from '../../src/agent/machine-autostart.ts';
import type { DamagedRecord } from '../../src/agent/repo-store.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { Guid, RunId } from '../../src/protocol/ids.ts';
import type { RepoSummary, RunResult, RunSummary } from '../../src/protocol/operations.ts';
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
  {
    hanging,
    since = [],
    damaged = [],
  }: {
    hanging?: {
      names: string[];
      meanwhile(so: { attempts: string[]; system: PatientSystem; given: string[] }): Promise<void>;
    };
    /** What others have run by the time that one is tried again. */
    since?: Partial<RunSummary>[];
    damaged?: DamagedRecord[];
  } = {},
) {
  const given: string[] = [];
  const giveUp: BootDeps['giveUp'] = ({ name }, reason) => void given.push(`${name}: ${reason}`);
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
    list: async () => since.map((one) => ({ startedAt: Date.now(), ...one }) as RunSummary),
  };
  const context = {
    system,
    actor: 'boot',
    dryRun: false,
    report: () => undefined,
    signal: new AbortController().signal,
  };
  const listRepos = async () => repos;
  const started = startAtBoot(
    { runs, listRepos, damaged: async () => damaged, giveUp },
    context as unknown as RunContext,
  );
  await hanging?.meanwhile({ attempts, system, given });
  hang.open();
  const { outcome, output } = await started;
  const { repositories } = await listAutostart({ system }, listRepos);
  return { outcome, rows: output?.repositories ?? [], attempts, given, listed: repositories, system };
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
        hanging: {
          names,
          async meanwhile({ attempts, system }) {
            await turn();
            expect(attempts).toEqual(names);
            system.patience.open();
            await turn();
            expect(attempts).toEqual(all);
          },
        },
      },
    );
    expect(outcome).toBe('done');
  });

  test('one that failed for good is told at once, also while another one hangs', async () => {
    const { given } = await boot(
      [repo(0), repo(1)],
      { r1: [failed('WRONG_CREDENTIAL')] },
      {
        hanging: {
          names: ['r0'],
          async meanwhile({ given: soFar }) {
            await new Promise((resolve) => setTimeout(resolve, 20));
            expect(soFar).toEqual(['r1: it did not start at boot: it failed: WRONG_CREDENTIAL']);
          },
        },
      },
    );
    expect(given).toHaveLength(1);
  });

  test('what a person has done since it failed is left so; control: the runs of the start itself do not count', async () => {
    const ends = { r0: [failed('FUNCTION_FAILED'), done] };
    const own = await boot([repo(0)], ends, { since: [{ repo: repo(0).name, actor: 'boot', operation: 'repo.up' }] });
    expect(own.attempts).toHaveLength(2);
    const { attempts, rows, given } = await boot([repo(0)], ends, {
      since: [{ repo: repo(0).name, actor: 'anna@laptop', operation: 'repo.down' }],
    });
    expect(attempts).toHaveLength(1);
    expect(rows).toMatchObject([
      { result: 'skipped', reason: expect.stringContaining('anna@laptop has run "repo down"') },
    ]);
    expect(given).toEqual([]);
  });

  test('one whose record is damaged is told, and the others are started', async () => {
    const damaged = [{ guid: guidOf(9), error: new RdcError('CONFIG_INVALID', 'the record is damaged') }];
    const { outcome, attempts, given, rows } = await boot([repo(0)], { r0: [done] }, { damaged });
    expect(outcome).toBe('partial');
    expect(attempts).toEqual(['r0']);
    expect(given).toEqual([`${guidOf(9)}: it did not start at boot: the record is damaged`]);
    expect(rows.map(({ result }) => result)).toEqual(['done', 'failed']);
  });
});
