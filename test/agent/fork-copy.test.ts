// Which way an image is copied, what is refused before anything is made, and how a copy that fails is told.
import { expect, test } from 'vitest';
import { copyImage, refuseCopy, sharesBlocks } from '../../src/agent/fork-copy.ts';
import type { RunContext } from '../../src/agent/handlers.ts';
import { repoTarget } from '../../src/agent/layout.ts';
import type { Workbench } from '../../src/agent/repo-workbench.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { Guid, NetworkId, RepoName } from '../../src/protocol/ids.ts';
import { type Answer, scriptedSystem } from '../helpers/scripted-system.ts';
import { spaceWith } from '../helpers/space.ts';

const targetOf = (name: string, digit: string, networkId: number) => {
  const guid = `${digit.repeat(8)}-1111-4111-8111-111111111111` as Guid;
  return repoTarget('/mnt/rediacc', { guid, name: name as RepoName, networkId: networkId as NetworkId, linkIndex: 0 });
};
const SHOP = targetOf('shop', '1', 2816);
const TRY = targetOf('try', '2', 2880);

type State = 'closed' | 'mounted' | 'open';

function parent(state: State, allocatedBytes = 300 * 1024 ** 2): Workbench {
  const facts = {
    image: { sizeBytes: 1024 ** 3, allocatedBytes, mode: 0o600 },
    mounted: state === 'mounted',
    mapping: state === 'closed' ? undefined : {},
    loops: state === 'closed' ? [] : [{}],
    mappings: state === 'closed' ? [] : [{}],
  };
  return { target: SHOP, record: { name: 'shop' }, observe: async () => facts } as unknown as Workbench;
}

/** Free bytes on the datastore, and how the copying command ends. */
function machine({ freeBytes = 10 * 1024 ** 3, copy = {} as Answer }) {
  const system = scriptedSystem(({ file }) => (file === 'cp' || file === 'systemd-run' ? copy : {}));
  return { ...system, space: async () => spaceWith(freeBytes) };
}

async function copied(state: State, shares: boolean, copy: Answer = {}) {
  const system = machine({ copy });
  const events: RunEvent[] = [];
  const context = { system, undoing: system, report: (event: RunEvent) => events.push(event) } as unknown as RunContext;
  return { result: await copyImage(parent(state), TRY, shares, context), system, events };
}

test('whether blocks can be shared is tried, and nothing is left of the trial', async () => {
  const system = machine({});
  expect(await sharesBlocks(system, SHOP)).toBe(true);
  expect(await sharesBlocks(machine({ copy: { exitCode: 1 } }), SHOP)).toBe(false);
  expect(system.files.size).toBe(0);
});

test.each<[State, boolean, number, string | undefined]>([
  ['closed', true, 64 * 1024 ** 2, undefined],
  ['mounted', true, 64 * 1024 ** 2, undefined],
  ['mounted', true, 63 * 1024 ** 2, 'NO_SPACE'],
  ['open', true, 64 * 1024 ** 2, 'VOLUME_IN_USE'],
  ['closed', false, 10 * 1024 ** 3, undefined],
  ['closed', false, 300 * 1024 ** 2, 'NO_SPACE'],
  ['mounted', false, 10 * 1024 ** 3, 'VOLUME_IN_USE'],
])('%s, blocks shared: %s, %d bytes free: %s', async (state, shares, freeBytes, code) => {
  const attempt = refuseCopy(parent(state), machine({ freeBytes }), shares);
  if (code === undefined) await attempt;
  else await expect(attempt).rejects.toMatchObject({ code });
});

test('an open one is copied by a unit that systemd thaws, and the time of the freeze is told', async () => {
  const { result, system, events } = await copied('mounted', true, { stdout: 'frozen for 85138 us\n' });
  expect(result).toEqual({ copy: 'shared', frozenMs: 86 });
  const words = system.commands.find(({ file }) => file === 'systemd-run')?.args ?? [];
  expect(words).toEqual(expect.arrayContaining(['--property=RuntimeMaxSec=16s', '--property=TimeoutStopSec=60s', '8']));
  expect(words.find((word) => word.includes('ExecStopPost='))).toContain(`thaw ${SHOP.paths.mountPoint}`);
  expect(events.at(-1)).toMatchObject({ state: 'done', detail: 'its filesystem was frozen for 86 ms' });
});

test('a closed one is not frozen', async () => {
  const { result, system } = await copied('closed', true);
  expect(result).toEqual({ copy: 'shared' });
  expect(system.commands.map(({ file }) => file)).not.toContain('systemd-run');
});

test('a whole copy is announced', async () => {
  const { result, events } = await copied('closed', false);
  expect(result).toEqual({ copy: 'full' });
  expect(events[0]).toMatchObject({ kind: 'warning', message: expect.stringContaining('cannot share blocks: 300M') });
});

test.each<[Answer, string]>([
  [{ exitCode: 75 }, 'VOLUME_IN_USE'],
  [{ exitCode: 1 }, 'FAILED'],
  [{ stdout: 'nothing' }, 'STEP_NOT_VERIFIED'],
])('%j under the freeze: %s', async (answer, code) => {
  await expect(copied('mounted', true, answer)).rejects.toMatchObject({ code });
});
