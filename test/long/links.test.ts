// Links that are bad without breaking: a third of the packets lost, and a minute in which nothing passes and nobody is told.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectNoCredential } from '../machine/canary.ts';
import type { Desk } from '../machine/desk.ts';
import { type LinkProxy, openLinkProxy } from '../machine/link-proxy.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

const LINES = 200;
const ALL = Array.from({ length: LINES }, (_, index) => index + 1);
const LOSS = `table inet loss {
  chain in {
    type filter hook input priority -300
    tcp dport 22 numgen random mod 100 < 30 counter drop
  }
  chain out {
    type filter hook output priority -300
    tcp sport 22 numgen random mod 100 < 30 counter drop
  }
}
`;

let vm: TestVm;
let desk: Desk;
let proxy: LinkProxy;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  proxy = await openLinkProxy({ host: vm.sshHost, port: vm.sshPort });
  await desk.done(`context add-machine far --ip 127.0.0.1 --user deploy --port ${proxy.port}`);
  await desk.done('repo create shop --size 100M -m box');
  await desk.done('repo mount shop -m box');
  const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status shop -m box');
  await vm.root(`cat >${mountPoint}/Rediaccfile`, {
    input: `up() { for n in $(seq 1 ${LINES}); do echo "line $n"; sleep 0.5; done; }\n`,
  });
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
  await proxy?.close();
});

const linesIn = (text: string) => [...text.matchAll(/line (\d+)\b/g)].map(([, number]) => Number(number));

test('nothing passes for 60 s, and neither end is told', async () => {
  const { said, ended } = desk.start('repo up shop -m far');
  await expect.poll(said, { timeout: 300_000 }).toContain('line 5');
  const before = proxy.taken();
  proxy.hold(true);
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  // Control: nothing came through.
  const heard = linesIn(said()).length;
  expect(heard).toBeLessThan(20);
  proxy.hold(false);
  expect(await ended, said()).toBe(0);
  expect(linesIn(said())).toEqual(ALL);
  // It was noticed before anybody told.
  expect(proxy.taken()).toBeGreaterThan(before);
});

test('30 % of the packets are lost, both ways', async () => {
  await vm.root('systemd-run --quiet --on-active=900 nft delete table inet loss; nft -f -', { input: LOSS });
  const started = performance.now();
  const { said, ended } = desk.start('repo up shop -m far');
  expect(await ended, said()).toBe(0);
  console.log(`under loss: ${Math.round((performance.now() - started) / 1000)} s`);
  expect(linesIn(said())).toEqual(ALL);
  // Control: packets were lost.
  const counters = await vm.root('nft list table inet loss; nft delete table inet loss');
  const lost = [...counters.matchAll(/packets (\d+)/g)].map(([, packets]) => Number(packets));
  console.log(`packets lost, in and out: ${lost.join(', ')}`);
  expect(Math.min(...lost)).toBeGreaterThan(10);
});

test('no credential lies on its disks', async () => {
  await expectNoCredential({ vm, desk });
});
