// A volume that came below the view of another repository while its daemon started: it is not held by that daemon.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

const DATASTORE = '/mnt/rediacc';
const LIB = '/usr/lib/rediacc';

let vm: TestVm;
let desk: Desk;
let blog: string;

/** Lays it there, between what systemd makes and what docker-init makes of it. */
const late = () => `#!/bin/bash
if [ "$1" = start ]; then
  set -e
  mount --make-rprivate /
  mkdir /run/aside
  mount --move ${DATASTORE} /run/aside
  mount /dev/mapper/rediacc-${blog} ${DATASTORE}
  mount --move /run/aside ${DATASTORE}
  rmdir /run/aside
fi
exec ${LIB}/docker-init.real "$@"
`;
async function startAnew(): Promise<void> {
  await desk.done('repo down shop --unmount');
  await desk.done('repo up shop');
}
const inView = () => vm.root('cat /proc/$(pgrep -x dockerd)/mountinfo');

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  for (const name of ['shop', 'blog']) await desk.done(`repo create ${name} --size 64M`);
  await desk.done('repo up-all --mount-only');
  const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status shop');
  await vm.root(`echo 'up() { :; }' >${mountPoint}/Rediaccfile`);
  blog = (await desk.json<{ guid: string }>('repo status blog')).guid;
  await vm.root(`cd ${LIB}; mv docker-init docker-init.real; install -m 755 /dev/stdin docker-init`, {
    input: late(),
  });
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test('is not held by it', async () => {
  await startAnew();
  expect(await inView()).not.toContain(blog);
  await desk.done('repo unmount blog');
});

test('control: where it is not taken away, it is', async () => {
  await desk.done('repo mount blog');
  await vm.root(`cd ${LIB}; mv own-volume-only own-volume-only.real; : > own-volume-only`);
  await startAnew();
  expect(await inView()).toContain(blog);
  const { exitCode, stderr } = await desk.rdc('repo unmount blog');
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining('dockerd (pid ')]);
  await vm.root(`cd ${LIB}; mv own-volume-only.real own-volume-only; mv docker-init.real docker-init`);
  await startAnew();
  await desk.done('repo unmount blog');
});
