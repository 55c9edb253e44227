// The supervisor as a whole, over runs that the test ends: what it remembers, what an up clears, what the boot left.
import { expect, onTestFinished, test, vi } from 'vitest';
import type { RunEnd, RunStart } from '../../src/agent/runs.ts';
import { SupervisionRecord } from '../../src/agent/supervision-record.ts';
import { Supervisor } from '../../src/agent/supervisor.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { RepoName, RunId } from '../../src/protocol/ids.ts';
import type { RunResult, RunSummary } from '../../src/protocol/operations.ts';
import { FakeSystem } from '../helpers/fake-system.ts';
import { GUID, shopTarget } from '../helpers/target.ts';
import { temporaryDirectory } from './harness.ts';

const STATE = '/var/lib/rediacc/supervision.json';
const RUN = '0123456789ab-00000001' as RunId;

async function supervised(listed: Partial<RunSummary>[] = [], more: { autostart?: boolean; upFails?: boolean } = {}) {
  const system = new FakeSystem();
  const machine = { version: 1, datastore: '/mnt/rediacc', registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' };
  const { networkId, linkIndex } = shopTarget();
  const record = { version: 1, guid: GUID, name: 'shop', networkId, linkIndex, filesystem: 'ext4', state: 'ready' };
  system.file('/etc/rediacc/machine.json', JSON.stringify(machine));
  system.file(
    `/mnt/rediacc/.state/${GUID}.json`,
    JSON.stringify({ ...record, autostart: more.autostart ?? false, createdAt: 0 }),
  );
  const started: RunStart[] = [];
  const log: string[] = [];
  const lockDir = await temporaryDirectory();
  const supervisor = new Supervisor({
    runs: {
      async start(request) {
        started.push(request);
        if (more.upFails) throw new RdcError('CREDENTIAL_MISSING', 'no key fits');
        return RUN;
      },
      follow: async () => ({ run: RUN, outcome: 'done', warnings: [] }),
      list: async () => listed as RunSummary[],
    },
    createSystem: () => system,
    lockDir,
    log: (message) => log.push(message),
    now: Date.now,
  });
  await supervisor.load();
  onTestFinished(() => supervisor.stop());
  return { supervisor, system, started, log };
}

const ended = (operation: RunEnd['operation'], result: Partial<RunResult>, actor = 'anna@laptop'): RunEnd => ({
  ...{ operation, actor, keys: [GUID] },
  result: { run: RUN, outcome: 'done', warnings: [], ...result },
});

test('a start at boot that failed needs attention, also for the next agent, until a person starts it', async () => {
  const { supervisor, system } = await supervised();
  expect(supervisor.attention(GUID)).toBeUndefined();
  supervisor.giveUp({ guid: GUID, name: 'shop' as RepoName }, 'it did not start at boot: no key fits');
  expect(supervisor.attention(GUID)?.reason).toBe('it did not start at boot: no key fits');
  await supervisor.stop();

  const next = new SupervisionRecord({ system, path: STATE, onTrouble: (message) => expect.unreachable(message) });
  await next.load();
  expect(next.attention(GUID)?.reason).toBe('it did not start at boot: no key fits');

  supervisor.ended(ended('repo.up', { outcome: 'failed' }));
  supervisor.ended(ended('repo.up', {}, 'supervisor'));
  supervisor.ended(ended('repo.mount', {}));
  expect(supervisor.attention(GUID)).toBeDefined();
  supervisor.ended(ended('repo.up', { outcome: 'partial' }));
  expect(supervisor.attention(GUID)).toBeUndefined();
  await vi.waitFor(async () => expect((await supervisor.report()).events[0]?.kind).toBe('attention-cleared'));
});

test('that an image is attached twice is no matter of an up: a look has to see that it is over', async () => {
  const { supervisor } = await supervised();
  const twice = 'its image is attached a second time: /dev/loop5; writing through both destroys it';
  supervisor.giveUp({ guid: GUID, name: 'shop' as RepoName }, twice);
  supervisor.ended(ended('repo.up', {}));
  expect(supervisor.attention(GUID)?.reason).toBe(twice);
});

test('a start at boot that was cut off with its agent is finished', async () => {
  const cut = { operation: 'machine.autostart', actor: 'boot', startedAt: Date.now(), outcome: 'interrupted' } as const;
  const { supervisor, started } = await supervised([cut], { autostart: true });
  await supervisor.start();
  await vi.waitFor(() => expect(started).toHaveLength(1));
  expect(started[0]).toMatchObject({ operation: 'repo.up', actor: 'supervisor', input: { repo: GUID } });
});

test.each<[string, Partial<RunSummary>[]]>([
  ['a person has stopped it since', [{ operation: 'repo down', repo: 'shop', actor: 'anna', outcome: 'done' }]],
  ['it was done with already', [{ operation: 'repo up', repo: 'shop', actor: 'boot', outcome: 'done' }]],
])('but not where %s', async (_title, since) => {
  const now = Date.now();
  const cut = { operation: 'machine.autostart', actor: 'boot', startedAt: now, outcome: 'interrupted' } as const;
  const { supervisor, started, system } = await supervised(
    [...since.map((run) => ({ ...run, startedAt: now + 1 })), cut],
    { autostart: true },
  );
  const asked = vi.spyOn(system, 'readFile');
  await supervisor.start();
  await vi.waitFor(() => expect(asked.mock.calls.length).toBeGreaterThan(0));
  await supervisor.stop();
  expect(started).toEqual([]);
});

test('one that cannot be finished needs attention', async () => {
  const cut = { operation: 'machine.autostart', actor: 'boot', startedAt: Date.now(), outcome: 'interrupted' } as const;
  const { supervisor } = await supervised([cut], { autostart: true, upFails: true });
  await supervisor.start();
  await vi.waitFor(() => expect(supervisor.attention(GUID)?.reason).toBe('it did not start at boot: no key fits'));
});

test('a memory that is torn is forgotten and said; the newest two hundred events are kept', async () => {
  const system = new FakeSystem().file(STATE, '{"version": 1, "eve');
  const troubles: string[] = [];
  const record = new SupervisionRecord({ system, path: STATE, onTrouble: (message) => troubles.push(message) });
  await record.load();
  expect(troubles).toHaveLength(1);
  for (let at = 1; at <= 250; at += 1) record.note({ at, kind: 'failed', message: '' });
  await record.saved();
  const again = new SupervisionRecord({ system, path: STATE, onTrouble: (message) => troubles.push(message) });
  await again.load();
  expect(again.events()).toHaveLength(200);
  expect(again.events()[0]?.at).toBe(250);
  expect(troubles).toHaveLength(1);
});
