// What a machine does by itself while nobody is connected: a dead daemon, an unhealthy container, a firewall that somebody
// has emptied; and what it leaves alone.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Desk } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const COMPOSE = `services:
  web:
    image: busybox
    network_mode: host
    command: httpd -f -h /www -p "\${WEB_IP}:8000"
    volumes: ["./state:/www"]
    healthcheck: { test: test ! -e /www/sick, interval: 2s, timeout: 20s, retries: 1 }
  other: { image: busybox, network_mode: host, command: sleep 100000, restart: unless-stopped }
`;
const REDIACCFILE = `up() { mkdir -p state; echo well > state/answer; renet compose -- up -d; }
down() { touch down-has-run; renet compose -- down --timeout 1; }
`;
const RECORD = '/var/lib/rediacc/supervision.json';
const DOCKER = 'docker -H unix:///run/rediacc/docker-2816.sock';
const AGENT = '$(systemctl show -p MainPID --value rediacc-agent)';

interface Status {
  mountPoint: string;
  state: string;
  attention?: { reason: string };
  services: { name: string; ip: string; state: string }[];
}
interface Machine {
  repositories: { name: string; attention?: { reason: string } }[];
  supervision: { events: { kind: string; message: string; repo?: string }[] };
}

let vm: TestVm;
let desk: Desk;
let mountPoint: string;
let address: string;

const status = () => desk.json<Status>('repo status shop');
const fetched = (retry = '') => vm.root(`curl -sS --fail --max-time 20 ${retry} http://${address}:8000/answer`);
const answers = () => fetched('--retry 120 --retry-all-errors --retry-delay 1');
/** Until the supervisor has noted so many events of a kind. */
const noted = (kind: string, times: number) =>
  vm.root(
    `for i in $(seq 600); do test "$(grep -c '"kind": "${kind}"' ${RECORD})" -ge ${times} && exit 0; sleep 0.5; done; cat ${RECORD}; exit 1`,
    { timeoutMs: 400_000 },
  );
const started = (container: string) => vm.root(`${DOCKER} inspect --format '{{.State.StartedAt}}' shop-${container}-1`);
/** For a shell on the machine. */
const health = `${DOCKER} inspect --format '{{.State.Health.Status}}' shop-web-1`;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  const files = join(desk.home, 'shop');
  await mkdir(files);
  await writeFile(join(files, 'compose.yml'), COMPOSE);
  await writeFile(join(files, 'Rediaccfile'), REDIACCFILE);
  await desk.done('repo create shop --size 1G');
  await desk.done('repo mount shop');
  await desk.done(`sync upload -r shop --local ${files}`);
  await desk.done('machine supervision --notify-command cat>>/root/notified --restarts 1');
  await desk.done('repo up shop');
  const found = await status();
  ({ mountPoint } = found);
  address = found.services.find(({ name }) => name === 'web')?.ip ?? '';
  expect(await answers()).toBe('well');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test('a daemon that is killed comes back with its containers, and no down() has run', async () => {
  const before = await started('web');
  await vm.root('pkill -9 -x dockerd');
  // Control: its containers have died with it.
  expect((await vm.ssh('root', `curl -sS --max-time 5 http://${address}:8000/answer`)).exitCode).not.toBe(0);
  await noted('daemon-restarted', 1);
  expect(await answers()).toBe('well');
  expect(await started('web')).not.toBe(before);
  expect(await vm.root(`${DOCKER} ps --format '{{.Names}}' | sort`)).toBe('shop-other-1\nshop-web-1');
  expect(await vm.root(`ls ${mountPoint}`)).not.toContain('down-has-run');
});

test('also where the agent is killed with it', async () => {
  await vm.root(`kill -9 ${AGENT}; pkill -9 -x dockerd`);
  await noted('daemon-restarted', 2);
  expect(await answers()).toBe('well');
});

test('what a person has going through an agent that dies ends with it; containers do not notice', async () => {
  const before = [await started('web'), await started('other')];
  const { ended } = desk.start('repo compose shop -- logs --follow');
  const units = "systemctl list-units --plain --no-legend 'rediacc-compose-*'";
  await vm.root(`until ${units} | grep -q running; do sleep 0.5; done`);
  await vm.root(`kill -9 ${AGENT}`);
  expect(await ended).not.toBe(0);
  await vm.root(`until [ -z "$(${units})" ]; do sleep 0.5; done`);
  expect(await answers()).toBe('well');
  // The programs on the server that carry the connection, as well.
  for (const carrier of ["pgrep -f 'connect[.]mjs'", "pgrep -f '^sshd.*: deploy'"]) {
    const following = desk.start('repo compose shop -- logs --follow');
    await vm.root(`until ${units} | grep -q running; do sleep 0.5; done; kill -9 $(${carrier})`);
    expect(await following.ended, carrier).not.toBe(0);
    await vm.root(`until [ -z "$(${units})" ]; do sleep 0.5; done`);
  }
  expect([await started('web'), await started('other')]).toEqual(before);
});

test('rules of the guard that somebody takes away are put back', async () => {
  const rules = () => vm.root('nft list table inet rediacc | grep -c drop');
  const before = await rules();
  await vm.root('nft flush ruleset');
  // Control: they are gone.
  expect((await vm.ssh('root', 'nft list table inet rediacc')).exitCode).not.toBe(0);
  await noted('guard-restored', 1);
  expect(await rules()).toBe(before);
});

test('an unhealthy container is restarted up to the limit, then the repository needs attention, until up', async () => {
  const [before, other] = [await started('web'), await started('other')];
  await vm.root(`touch ${mountPoint}/state/sick`);
  await noted('needs-attention', 1);
  expect(await started('web')).not.toBe(before);
  expect(await started('other')).toBe(other);
  const reason = 'container "shop-web-1" is unhealthy after 1 restart';
  expect((await status()).attention?.reason).toBe(reason);
  const machine = await desk.json<Machine>('machine status');
  expect(machine.repositories[0]?.attention?.reason).toBe(reason);
  expect(machine.supervision.events.map(({ kind }) => kind)).toEqual([
    'needs-attention',
    'container-restarted',
    'guard-restored',
    'daemon-restarted',
    'daemon-restarted',
  ]);
  expect(machine.supervision.events.at(-1)?.message).toContain('signal 9 ended it');
  const told = (await vm.root('cat /root/notified')).split('\n').map((line) => JSON.parse(line) as { kind: string });
  expect(told.map(({ kind }) => kind).reverse()).toEqual(machine.supervision.events.map(({ kind }) => kind));
  expect(await desk.done('repo list')).toContain('needs attention');

  // A new beginning, though docker tells nothing new of it.
  await desk.done('repo up shop');
  await noted('needs-attention', 2);
  await vm.root(`rm ${mountPoint}/state/sick; until [ "$(${health})" = healthy ]; do sleep 0.5; done`);
  await desk.done('repo up shop');
  expect((await status()).attention).toBeUndefined();
});

test('what a person does is left alone: a stopped container, a down', async () => {
  await vm.root(`${DOCKER} stop --time 1 shop-web-1`);
  await desk.done('repo down shop --unmount');
  // Control: what comes after it on the same machine is seen to; nothing is in its way.
  const events = (await desk.json<Machine>('machine status')).supervision.events.map(({ kind }) => kind);
  expect(events[0]).toBe('attention-cleared');
  expect((await desk.json<{ state: string }>('repo status shop')).state).toBe('closed');
});

test('a daemon that is stopped while it starts is told so, and not killed when its time is over', async () => {
  await desk.done('repo up shop');
  const unit = (await vm.root("systemctl list-units --plain --no-legend 'rediacc-docker@*'")).split(' ')[0];
  const state = (key: string) => `systemctl show --property=${key} --value ${unit}`;
  await vm.root(`systemctl restart --no-block ${unit}
    until [ "$(${state('ActiveState')})" = activating ] && pgrep -x dockerd; do sleep 0.1; done; systemctl stop ${unit}`);
  expect(await vm.root(state('Result'))).toBe('success');
  const journal = await vm.root(`journalctl --no-pager --output=cat --unit ${unit}`);
  expect(journal).not.toContain('timed out');
  // Control: its ends are told there.
  expect(journal).toContain('Stopped');
});

test('an image that somebody attaches, or opens, a second time: told at once, refused before every open, until it is gone', async () => {
  await desk.done('repo up shop');
  const { image } = await desk.json<{ image: string }>('repo status shop');
  const attention = async () => (await status()).attention?.reason;
  // Control: nothing is told before.
  expect(await attention()).toBeUndefined();
  const second = await vm.root(`losetup --find --show ${image}`);
  await expect.poll(attention, { timeout: 120_000 }).toContain(`attached a second time: ${second}`);
  for (const line of [
    'repo up shop',
    'repo resize shop --size 1200M',
    'repo autostart enable shop',
    'repo fork shop --as try',
  ]) {
    const { exitCode, stderr } = await desk.rdc(line);
    expect([exitCode, stderr], line).toEqual([1, expect.stringContaining(`losetup --detach ${second}`)]);
  }
  await vm.root(`losetup --detach ${second}`);
  await expect.poll(attention, { timeout: 120_000 }).toBeUndefined();

  const credential = (await desk.done('repo credential show shop --reveal')).trim();
  await vm.root(`cryptsetup open --key-file - ${image} mine`, { input: credential });
  await expect.poll(attention, { timeout: 120_000 }).toContain('open as "mine"');
  const { exitCode, stderr } = await desk.rdc('repo up shop');
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining('cryptsetup close mine')]);
  await vm.root('cryptsetup close mine');
  await expect.poll(attention, { timeout: 120_000 }).toBeUndefined();
  await desk.done('repo up shop');
});

test('a containerd that is killed comes back below its daemon, and the containers do not notice', async () => {
  const before = [await started('web'), await started('other')];
  const restarts = () => vm.root(`grep -c '"kind": "container-restarted"' ${RECORD}`);
  const restartsBefore = await restarts();
  // Control: by its health check the container is unhealthy meanwhile, for docker cannot make one.
  await vm.root(`until [ "$(${health})" = unhealthy ]; do pkill -9 -x containerd; sleep 0.2; done`);
  await vm.root(`until [ "$(${health})" = healthy ] && ${DOCKER} exec shop-other-1 true; do sleep 0.5; done`);
  expect(await answers()).toBe('well');
  expect([await started('web'), await started('other')]).toEqual(before);
  expect(await restarts()).toBe(restartsBefore);
});
