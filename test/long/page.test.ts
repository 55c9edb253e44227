// The files of the original page as they are, a compose file as people write them, and the complete example: three repositories at
// the same time, brought up by one command.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Desk, EXAMPLES } from '../machine/desk.ts';
import { remainsOf } from '../machine/remains.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

let vm: TestVm;
let desk: Desk;

const visits = async (address: string) =>
  JSON.parse(
    await vm.root(
      `curl -sS --fail --retry 60 --retry-all-errors --retry-delay 1 --max-time 20 http://${address}:8080/`,
    ),
  ).visits;

async function bring(name: string, example: string): Promise<void> {
  await desk.done(`repo create ${name} --size 2G`);
  await desk.done(`repo mount ${name}`);
  await desk.done(`sync upload -r ${name} --local ${EXAMPLES}/${example}`);
}

beforeAll(async () => {
  ({ vm, desk } = await startSetUp({ cpus: 2, memoryMiB: 4096 }));
  await bring('webapp', 'webapp');
  await desk.done('repo up webapp');
  expect(await visits('127.0.11.4')).toBe(1);
  // The second has a bridge network, a published port and a build.
  await bring('page', 'page');
  await bring('plain', 'plain-compose');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test("the page's own files, and a compose file as people write them, come up unchanged with one command", async () => {
  const { repositories } = await desk.json<{ repositories: { name: string; result: string }[] }>(
    'repo up-all --parallel',
    { timeoutMs: 1_200_000 },
  );
  expect(repositories).toMatchObject([
    { name: 'page', result: 'done' },
    { name: 'plain', result: 'done' },
    { name: 'webapp', result: 'already' },
  ]);
  expect(await visits('127.0.11.68')).toBe(1);
  expect(await visits('127.0.11.130')).toBe(1);
  // The one that ran answers as before.
  expect(await visits('127.0.11.4')).toBe(2);
});

test('deleting one leaves the others alone', async () => {
  const { guid } = await desk.json<{ guid: string }>('repo status page');
  expect(await desk.rdc('repo delete page')).toMatchObject({ exitCode: 2 });
  await desk.done('repo delete page --yes');
  expect(await remainsOf(vm, { guid, networkId: 2880 })).toEqual([]);
  expect(await vm.root(`find /mnt/rediacc -name '*${guid}*'`)).toBe('');
  expect(await visits('127.0.11.130')).toBe(2);
  expect(await visits('127.0.11.4')).toBe(3);
});
