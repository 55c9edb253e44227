// What is no shutdown runs no down(). test/machine/shutdown.test.ts tries the units alone, with the control.
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type BootRepository,
  makeRepositories,
  NOTED_DOWN,
  SLOW_END,
  untilAnswers,
} from '../machine/boot-repositories.ts';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

const FILES = { rediaccfile: `up() { renet compose -- up -d; }\n${NOTED_DOWN}`, compose: SLOW_END };

let vm: TestVm;
let desk: Desk;
let web: BootRepository;

const count = (repo: BootRepository, file: string) =>
  vm.root(`cat ${repo.mountPoint}/data/${file} 2>/dev/null | wc -l`).then(Number);

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  [, web] = (await makeRepositories({ vm, desk }, { other: FILES, web: FILES })) as [BootRepository, BootRepository];
  await desk.done('repo up-all');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test('isolate, daemon-reload, a restart of the daemon, an upgrade of the agent', async () => {
  // In an order of our own: systemd's is another one after a reload.
  const states = `systemctl show -p Id,ActiveState 'rediacc-*@*' | grep . | paste -d ' ' - - | sort`;
  const before = await vm.root(states);
  expect(before.match(/ActiveState=active/g)).toHaveLength(8);
  await vm.root('systemctl isolate multi-user.target && systemctl daemon-reload');
  expect(await vm.root(states)).toBe(before);
  expect(await count(web, 'ended')).toBe(0);
  // It is wanted by that target, and has ended long ago.
  const again = "journalctl -b --no-pager -o cat -u rediacc-autostart | grep -c 'this is no boot'";
  expect(await vm.root(`until ${again}; do sleep 0.5; done | tail -1`)).toBe('1');
  await vm.root(`systemctl restart rediacc-docker@${web.guid}; ${untilAnswers(web)}`);
  expect(await count(web, 'ended')).toBe(1);
  // An agent of another build is replaced by whoever comes next.
  await vm.root("echo '// another' >> /usr/lib/rediacc/current/renet.mjs; systemctl restart rediacc-agent");
  await desk.done('repo status web');
  expect(await vm.ssh('root', 'tail -1 /usr/lib/rediacc/current/renet.mjs')).not.toMatchObject({
    stdout: '// another',
  });
  expect(await vm.root(states)).toBe(before);
  expect(await count(web, 'downs')).toBe(0);
});
