// A machine that goes down and comes back: every repository ends in order, marked for the start at boot or not, in bounded
// time whatever its down() does, and what is marked is back without a command.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type AutostartList,
  answeredAfter,
  type BootRepository,
  makeRepositories,
  NEEDS_REGISTRY,
  NOTED_DOWN,
  RECOVERIES,
  SLOW_END,
  untilAnswers,
} from './boot-repositories.ts';
import type { Desk } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const DATABASE = `services:
  postgres:
    image: postgres:16
    network_mode: host
    volumes: ["./data/postgres:/var/lib/postgresql/data"]
    environment: {POSTGRES_PASSWORD: changeme}
    command: -c listen_addresses=\${POSTGRES_IP}
`;
/** The container stays, and its log with it. */
const STOPPED = `up() { renet compose -- up -d; }
down() { renet compose -- stop; echo down >> data/downs; }
`;
const HANGS = 'up() { renet compose -- up -d; }\ndown() { sleep infinity; }\n';

let vm: TestVm;
let desk: Desk;
let data: BootRepository;
let web: BootRepository;
let hanging: BootRepository;

const count = (repo: BootRepository, file: string) =>
  vm.root(`cat ${repo.mountPoint}/data/${file} 2>/dev/null | wc -l`).then(Number);
const journal = (units: readonly string[], boot: 0 | -1) =>
  vm.root(`journalctl -b ${boot} --no-pager -o cat ${units.map((unit) => `-u '${unit}'`).join(' ')}`);

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  [data, hanging, web] = (await makeRepositories(
    { vm, desk },
    {
      data: { rediaccfile: STOPPED, compose: DATABASE },
      hanging: { rediaccfile: HANGS, compose: SLOW_END },
      web: { rediaccfile: NEEDS_REGISTRY + NOTED_DOWN, compose: SLOW_END },
    },
  )) as [BootRepository, BootRepository, BootRepository];
  await desk.done('repo up-all');
  await Promise.all(['data', 'web'].map((name) => desk.done(`repo autostart enable ${name}`)));
  // So that the test need not wait five minutes for it.
  const limit = `/etc/systemd/system/rediacc-repo@${hanging.guid}.service.d/50-limit.conf`;
  await vm.root(
    `mkdir -p ${limit.slice(0, limit.lastIndexOf('/'))} && printf '[Service]\\nTimeoutStopSec=40\\n' > ${limit} &&
      systemctl daemon-reload`,
  );
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

describe('after a reboot', () => {
  test('all that is marked answers, without a command', async () => {
    await vm.reboot();
    const seconds = await answeredAfter(vm, [untilAnswers(web), untilAnswers(data, 5432)]);
    console.log(`from the start of the kernel to the last service answering: ${seconds} s`);
    const { repositories } = await desk.json<AutostartList>('repo autostart list');
    expect(repositories).toMatchObject([
      { name: 'data', enabled: true, lastBoot: { result: 'done' } },
      { name: 'hanging', enabled: false, state: 'closed' },
      { name: 'web', enabled: true, lastBoot: { result: 'done' } },
    ]);
  });

  test('down() had run and finished, once, and what it stopped had ended by itself', async () => {
    expect(await count(web, 'downs')).toBe(1);
    expect(await count(web, 'ended')).toBe(1);
    const docker = `docker -H unix:///run/rediacc/docker-${data.networkId}.sock`;
    const log = await vm.root(`${docker} logs "$(${docker} ps --quiet)" 2>&1`);
    expect(log.match(/database system is shut down/g)?.length).toBeGreaterThan(0);
    expect(log.match(/database system was shut down/g)?.length).toBeGreaterThan(0);
    expect(log).not.toMatch(/not properly shut down/);
  });

  test('each chain was undone in order, none by its time limit', async () => {
    for (const { guid } of [data, web]) {
      const units = ['repo', 'docker', 'net', 'volume'].map((unit) => `rediacc-${unit}@${guid}`);
      const log = await journal(units, -1);
      const order = units.map((unit) => log.lastIndexOf(`Stopped ${unit}`));
      expect(Math.min(...order)).toBeGreaterThan(0);
      expect(order).toEqual([...order].sort((a, b) => a - b));
      expect(log).toMatch(/root down: done/);
      expect(log).not.toMatch(/timed out|Failed with result/);
    }
  });

  test('a down() that never ends had its time; then its services ended by themselves and its volume was closed', async () => {
    const log = await journal([`rediacc-repo@${hanging.guid}`], -1);
    expect(log).toMatch(/timed out/);
    const rest = ['docker', 'net', 'volume'].map((unit) => `rediacc-${unit}@${hanging.guid}`);
    const others = await journal(rest, -1);
    for (const unit of rest) expect(others).toMatch(`Stopped ${unit}`);
    expect(others).not.toMatch(/timed out|Failed with result/);
    await desk.done('repo mount hanging');
    expect(await count(hanging, 'ended')).toBe(1);
  });

  test('no filesystem had to be recovered', async () => {
    expect(await vm.root(RECOVERIES)).toBe('');
    // The control: the kernel's words are there.
    expect(await vm.root("journalctl -k -b --no-pager -o cat | grep -c 'EXT4-fs (dm-.*mounted filesystem'")).toBe('3');
  });
});
