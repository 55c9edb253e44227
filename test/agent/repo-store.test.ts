// A damaged record stops what concerns all of them, and nobody else's own.
import { expect, test } from 'vitest';
import { createRepoStore } from '../../src/agent/repo-store.ts';
import type { Guid, NetworkId, RepoName, RepoRef } from '../../src/protocol/ids.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const GOOD = '11111111-1111-4111-8111-111111111111' as Guid;
const BAD = '22222222-2222-4222-8222-222222222222' as Guid;
const DAMAGED = { code: 'CONFIG_INVALID', message: expect.stringContaining(`${BAD}.json is damaged`) };

function store() {
  const record = {
    version: 1,
    guid: GOOD,
    name: 'shop',
    networkId: 2816,
    linkIndex: 0,
    filesystem: 'ext4',
    state: 'ready',
  };
  const system = new FakeSystem()
    .directory('/ds/.state')
    .file(`/ds/.state/${GOOD}.json`, JSON.stringify({ ...record, autostart: false, createdAt: 0 }))
    .file(`/ds/.state/${BAD}.json`, '{"version": 1, "guid"');
  return createRepoStore(system, '/ds');
}

test('the others are found, by name and by GUID', async () => {
  for (const ref of ['shop', GOOD]) expect((await store().resolve(ref as RepoRef)).guid).toBe(GOOD);
  const { records, damaged } = await store().readable();
  expect(records.map(({ name }) => name)).toEqual(['shop']);
  expect(damaged).toMatchObject([{ guid: BAD, error: DAMAGED }]);
});

test('what may be the damaged one is not "not there"', async () => {
  for (const ref of ['blog', BAD]) await expect(store().resolve(ref as RepoRef)).rejects.toMatchObject(DAMAGED);
});

test('whoever has to know all of them is told', async () => {
  await expect(store().list()).rejects.toMatchObject(DAMAGED);
});

test('two deletes at once are both remembered, with their network ids', async () => {
  const system = new FakeSystem().directory('/ds/.state');
  // A real disk takes its time: without turns the second would read before the first has written.
  const writeFile = system.writeFile.bind(system);
  system.writeFile = async (...written) => {
    await new Promise((resolve) => setImmediate(resolve));
    await writeFile(...written);
  };
  const delayed = createRepoStore(system, '/ds');
  await Promise.all([
    delayed.retire({ guid: GOOD, name: 'shop' as RepoName, networkId: 2816 as NetworkId }),
    delayed.retire({ guid: BAD, name: 'blog' as RepoName, networkId: 2880 as NetworkId }),
  ]);
  expect(await delayed.retired()).toEqual([2816, 2880]);
  expect((await delayed.deleted('blog' as RepoRef))?.guid).toBe(BAD);
});
