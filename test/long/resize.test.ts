// Another size for a repository on a real machine: larger while its services run, smaller while it is closed, refused where
// it cannot be, and finished by the same command after the agent was killed. Where exactly it may be cut off is in
// test/agent/repo-resize.test.ts.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

const MIB = 1024 ** 2;
const REDIACCFILE = `up() { renet compose up -d; }
down() { renet compose down; }
`;
/** Writes to the volume all the while; that it cannot is noted outside of it, where docker's own log would find no room either. */
const COMPOSE = `services:
  tick:
    image: busybox
    command: sh -c 'while :; do head -c 4096 /dev/zero >>/data/ticks || touch /dev/shm/failed; sleep 0.2; done'
    volumes: [./data:/data]
    stop_grace_period: 1s
`;

interface Resized {
  changed: boolean;
  state: string;
  sizeBytes: number;
  beforeBytes: number;
}

let vm: TestVm;
let desk: Desk;
let mountPoint: string;
let image: string;
let mapping: string;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  // No multiple of an encrypted sector.
  await desk.done('repo create shop --size 150.1MB');
  await desk.done('repo mount shop');
  const status = await desk.json<{ mountPoint: string; image: string; guid: string }>('repo status shop');
  ({ mountPoint, image } = status);
  mapping = `rediacc-${status.guid}`;
  await vm.root(`cat >${mountPoint}/Rediaccfile`, { input: REDIACCFILE });
  await vm.root(`cat >${mountPoint}/compose.yaml`, { input: COMPOSE });
  await desk.done('repo up shop');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

const KILL_AGENT = 'kill -9 $(systemctl show -p MainPID --value rediacc-agent)';
const container = () => vm.root("pgrep -f 'while :; do hea[d]' | head -1");
/** Sizes in bytes: image, loop device, mapping, filesystem. */
async function sizes(): Promise<number[]> {
  const text = await vm.root(
    `stat -c %s ${image}; d=$(losetup -n -O NAME -j ${image}); blockdev --getsize64 "$d" /dev/mapper/${mapping}
     dumpe2fs -h /dev/mapper/${mapping} 2>/dev/null | awk '/^Block (count|size)/ {n = n ? n * $3 : $3} END {print n}'`,
  );
  return text.split('\n').map(Number);
}

async function refused(line: string, exitCode: number, ...words: string[]): Promise<string> {
  const { exitCode: code, stderr } = await desk.rdc(line);
  expect([code, stderr], line).toEqual([exitCode, expect.any(String)]);
  for (const word of words) expect(stderr, line).toContain(word);
  return stderr;
}

/** The tool waits there until the file goes, also in a unit of its own. */
const HOLD = `printf '#!/bin/sh\\n[ "$1" = -P ] || { touch /run/held; while [ -e /run/held ]; do sleep 0.2; done; }\\nexec /usr/sbin/resize2fs "$@"\\n' >/usr/local/sbin/resize2fs
  chmod +x /usr/local/sbin/resize2fs`;
const UNTIL_HELD = 'for i in $(seq 600); do [ -e /run/held ] && exit 0; sleep 0.2; done; exit 1';

test('a full one grows while its container runs and writes', async () => {
  const pid = await container();
  const filled = await vm.ssh('root', `dd if=/dev/zero of=${mountPoint}/filling bs=1M`);
  expect(filled.stderr).toContain('No space left');
  await vm.root(`until test -e /proc/${pid}/root/dev/shm/failed; do sleep 0.5; done`);
  const plan = await desk.json<{ plan: { expect: string }[] }>('repo resize shop --size 200M --dry-run');
  expect(plan.plan.map((step) => step.expect)).toEqual(['change', 'change', 'change', 'change']);
  const told = await desk.json<Resized>('repo resize shop --size 200M');
  expect(told).toMatchObject({ changed: true, state: 'up', sizeBytes: 200 * MIB });
  expect(told.beforeBytes % 4096).toBe(0);
  const [imageBytes, loop, mapped = 0, filesystem = 0] = await sizes();
  expect([imageBytes, loop, mapped]).toEqual([200 * MIB, 200 * MIB, 184 * MIB]);
  expect(mapped - filesystem).toBeLessThan(MIB);
  // It writes again by itself, is the same process, and freed space still goes back to the host.
  await vm.root(
    `a=$(wc -c <${mountPoint}/data/ticks); until [ $(wc -c <${mountPoint}/data/ticks) -gt $a ]; do sleep 0.2; done`,
  );
  expect(await container()).toBe(pid);
  const discard = `cat /sys/block/$(basename $(readlink -f /dev/mapper/${mapping}))/queue/discard_max_bytes`;
  expect(Number(await vm.root(`rm ${mountPoint}/filling; ${discard}`))).toBeGreaterThan(0);
  expect(await desk.json<Resized>('repo resize shop --size 200M')).toMatchObject({ changed: false });
  expect((await desk.json<{ sizeBytes: number }>('repo status shop')).sizeBytes).toBe(200 * MIB);
});

test('refused, by name and reason, and nothing is changed', async () => {
  const before = await sizes();
  await refused('repo resize shop --size 100M', 1, '"shop" is open', 'rdc repo down shop --unmount');
  await refused('repo resize shop --size 900G', 13, '"shop" cannot grow to 900G', '--size ');
  const wrong = await desk.rdc('repo resize shop --size 220M --credential-stdin', {
    input: 'another one, a wrong one\n',
  });
  expect(wrong.exitCode, wrong.stderr).toBe(12);
  expect(await sizes()).toEqual(before);
});

test('the agent killed while it grows: the same command finishes it', async () => {
  await vm.root(HOLD);
  const { said, ended } = desk.start('repo resize shop --size 220M');
  await vm.root(`${UNTIL_HELD}`);
  await vm.root(`${KILL_AGENT}; pkill -9 -f /usr/local/sbin/resize2f[s]; rm /usr/local/sbin/resize2f? /run/held`);
  expect(await ended, said()).toBe(1);
  expect(said()).toContain('was interrupted');
  const [imageBytes, , mapped, filesystem = 0] = await sizes();
  expect([imageBytes, mapped]).toEqual([220 * MIB, 204 * MIB]);
  expect(filesystem).toBeLessThan(190 * MIB);
  expect((await desk.rdc('repo status shop')).stdout).toContain('to 220M was cut off');
  expect(await desk.json<Resized>('repo resize shop --size 220M')).toMatchObject({ changed: true, state: 'up' });
  expect((await sizes())[3]).toBeGreaterThan(200 * MIB);
});

test('a closed one becomes smaller with all its files, also when the agent is killed on the way', async () => {
  const data = `cd ${mountPoint}; head -c 30000000 /dev/urandom >early; head -c 45000000 /dev/urandom >late; rm early`;
  const sum = await vm.root(`${data}; seq 50000 >orders; sha256sum late orders`);
  await desk.done('repo down shop --unmount');
  const least = /--size (\d+)M/.exec(
    await refused('repo resize shop --size 64M', 2, 'cannot become smaller than'),
  )?.[1];
  expect(await vm.root(`stat -c %s ${image}; losetup -n -O NAME -j ${image}`)).toBe(String(220 * MIB));

  await vm.root(HOLD);
  const { said, ended } = desk.start(`repo resize shop --size ${least}M`);
  await vm.root(UNTIL_HELD);
  await vm.root(KILL_AGENT);
  expect(await ended, said()).toBe(1);
  expect(said()).toContain('was interrupted');
  // It goes on without the agent; meanwhile nobody mounts what is half moved.
  await refused('repo up shop', 1, 'a resize of "shop" was cut off', `rdc repo resize shop --size ${least}M`);
  await vm.root('rm /usr/local/sbin/resize2fs /run/held');
  expect(await desk.json<Resized>(`repo resize shop --size ${least}M`)).toMatchObject({
    changed: true,
    state: 'closed',
  });
  expect(await vm.root(`stat -c %s ${image}; losetup -n -O NAME -j ${image}`)).toBe(String(Number(least) * MIB));

  // On a full datastore it may not grow by what is not there.
  await vm.root('fallocate -l $(($(stat -f -c "%a * %S" /mnt/rediacc) - 80000000)) /mnt/rediacc/filling');
  await refused('repo resize shop --size 400M', 13, 'are free on /mnt/rediacc');
  await vm.root('rm /mnt/rediacc/filling');
  await desk.done('repo resize shop --size 150M');
  await desk.done('repo up shop');
  expect(await vm.root(`cd ${mountPoint}; sha256sum late orders`)).toBe(sum);
  expect(await vm.root('dmesg | grep -iE "ext4-fs error|I/O error" || true')).toBe('');
});
