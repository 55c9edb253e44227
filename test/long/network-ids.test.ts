// Network ids are given by the machine, whatever happens at the same time.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

let vm: TestVm;
let desk: Desk;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await desk.done('repo create first --size 64M');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

const create = (name: string) => desk.rdc(`repo create ${name} --size 64M`);
const idOf = async (name: string) => (await desk.json<{ networkId: number }>(`repo status ${name}`)).networkId;

test('many creates at once: different ids without a gap, also after one that failed, past a foreign listener', async () => {
  await vm.root('systemd-run --quiet --unit=foreign busybox httpd -f -p 127.0.11.70:7777 -h /usr/share');
  await vm.root('mount --bind /usr/bin/false /usr/sbin/cryptsetup');
  const broken = await create('broken');
  await vm.root('umount /usr/sbin/cryptsetup');
  expect(broken).toMatchObject({ exitCode: 1 });
  const names = ['one', 'two', 'three', 'four'];
  const ends = await Promise.all(names.map(create));
  expect(ends.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0]);
  const { repositories } = await desk.json<{ repositories: { name: string; networkId: number }[] }>('repo list');
  const ids = repositories.filter(({ name }) => names.includes(name)).map(({ networkId }) => networkId);
  // 2880 is 127.0.11.64/26, in which the foreign program listens.
  expect(ids.toSorted((a, b) => a - b)).toEqual([2944, 3008, 3072, 3136]);
});

test('the id of a deleted repository is not given to the next one', async () => {
  const before = await idOf('one');
  await desk.done('repo delete one --yes');
  expect(await create('five')).toMatchObject({ exitCode: 0 });
  expect(await idOf('five')).toBe(3200);
  expect(before).not.toBe(3200);
});
