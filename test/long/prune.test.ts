// What crashes and people leave behind on a real machine, one of each kind, beside a repository that is up and must not
// notice: found, listed, removed, and nothing else.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Desk } from '../machine/desk.ts';
import { remainsOf } from '../machine/remains.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

const COMPOSE = `services:
  web:
    image: busybox
    network_mode: host
    command: httpd -f -h /www -p "\${WEB_IP}:8000"
    volumes: ["./state:/www"]
`;
const REDIACCFILE = `up() { mkdir -p state; echo well > state/answer; renet compose -- up -d; }
down() { renet compose -- down --timeout 1; }
`;
const DATASTORE = '/mnt/rediacc';
/** Nobody knows them. The first has an image, the others are only names. */
const LOST = 'aaaaaaaa-0000-4000-8000-000000000001';
const DELETED = 'aaaaaaaa-0000-4000-8000-000000000002';
const NAMED = 'aaaaaaaa-0000-4000-8000-000000000003';
/** Has a record, and no image. */
const GONE = 'aaaaaaaa-0000-4000-8000-000000000004';

interface Leftover {
  kind: string;
  what: string;
  because: string;
}
interface Status {
  attention?: { reason: string };
}
interface Pruned {
  removed: Leftover[];
  left: Leftover[];
  failed: { where: string; reason: string }[];
}

let vm: TestVm;
let desk: Desk;
let address: string;
let blog: string;

const answer = () =>
  vm.root(`curl -sS --fail --max-time 20 --retry 60 --retry-all-errors http://${address}:8000/answer`);
const startedAt = () =>
  vm.root("docker -H unix:///run/rediacc/docker-2816.sock inspect --format '{{.State.StartedAt}}' shop-web-1");
const attach = (guid: string) => vm.root(`losetup --find --show ${DATASTORE}/repositories/${guid}`);

/** All that the machine has of ours, told by the kernel, systemd and the directories themselves. */
async function everything(): Promise<string[]> {
  const text = await vm.root(`
    losetup --noheadings --output BACK-FILE | sort; ls /dev/mapper
    grep rediacc /proc/self/mountinfo | cut -d' ' -f5 | sort
    ls /sys/class/net /run/netns /run/rediacc /run/rediacc/[0-9]* /run/rediacc/needs-down /run/systemd/system /etc/rediacc
    cd ${DATASTORE}; ls repositories repos .state .credentials/keys | grep -v retired
    systemctl list-units --all --plain --no-legend 'rediacc-*' | awk '$3 != "inactive" {print $1, $3}' | sort`);
  return text.split('\n');
}

/** What doctor tells of leftovers. */
async function leftovers(): Promise<string[]> {
  const { stdout } = await desk.rdc('machine doctor box --json');
  const { checks } = JSON.parse(stdout) as { checks: { id: string; status: string; found: string }[] };
  return checks.filter(({ id, status }) => id === 'leftovers' && status !== 'ok').map(({ found }) => found);
}

const prune = (options = '') => desk.json<Pruned>(`machine prune box --yes${options}`);

/** The tool waits there until the file goes. */
const HOLD = `printf '#!/bin/sh\\ntouch /run/held\\nwhile [ -e /run/held ]; do sleep 0.2; done\\nexec /usr/sbin/mkfs.ext4 "$@"\\n' >/usr/local/sbin/mkfs.ext4
  chmod +x /usr/local/sbin/mkfs.ext4`;
const UNTIL_HELD = 'for i in $(seq 600); do [ -e /run/held ] && exit 0; sleep 0.2; done; exit 1';

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await desk.done('repo create shop --size 300M');
  await desk.done('repo mount shop');
  const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status shop');
  await vm.root(`cat >${mountPoint}/Rediaccfile`, { input: REDIACCFILE });
  await vm.root(`cat >${mountPoint}/compose.yaml`, { input: COMPOSE });
  const { services } = await desk.json<{ services: { ip: string }[] }>('repo up shop');
  address = services[0]?.ip ?? '';
  await desk.done('repo create blog --size 64M');
  blog = (await desk.json<{ guid: string }>('repo status blog')).guid;
  expect(await answer()).toBe('well');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

let clean: string[];
let since: string;
/** Devices of what prune must leave. */
let byHand: { lost: string; deleted: string };

test('a machine in order has nothing left over, also while a command is in the middle of its work', async () => {
  expect(await leftovers()).toEqual([]);
  await vm.root(`install -d -m 700 ${DATASTORE}/.credentials/keys; ${HOLD}`);
  clean = await everything();
  since = await startedAt();
  const { said, ended } = desk.start('repo create half --size 64M');
  await vm.root(UNTIL_HELD);
  expect(await leftovers()).toEqual([]);
  expect(await prune()).toMatchObject({ removed: [], left: [], failed: [] });
  // Control: the same without its run is left over.
  await vm.root('kill -9 $(systemctl show -p MainPID --value rediacc-agent); pkill -9 -f /usr/local/sbin/mkfs.ext[4]');
  await vm.root('rm /usr/local/sbin/mkfs.ext4 /run/held');
  expect(await ended, said()).toBe(1);
  expect((await leftovers()).join('\n')).toMatch(/image .* of "half": dead because .*"creating"/);
});

test('one of each kind is found, and a dry run changes nothing', async () => {
  const { credentials } = JSON.parse(await readFile(join(desk.home, '.config/rediacc/credentials.json'), 'utf8'));
  const open = `cryptsetup open --key-file - ${await attach(blog)} rediacc-${blog}`;
  await vm.root(open, { input: credentials[blog].value });
  await vm.root(`cd ${DATASTORE}; truncate --size=16M repositories/${LOST} repositories/${DELETED}`);
  const [lost, deleted, spare] = [await attach(LOST), await attach(DELETED), await attach(blog)];
  byHand = { lost, deleted };
  await vm.root(`cd ${DATASTORE}
    rm repositories/${DELETED}
    head -c 64 /dev/urandom | cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file - ${lost} rediacc-${LOST}
    mkfs.ext4 -q /dev/mapper/rediacc-${LOST}; mkdir repos/${LOST}; mount /dev/mapper/rediacc-${LOST} repos/${LOST}
    touch .credentials/keys/${blog}.key .credentials/keys/${NAMED}.key .state/${NAMED}.luks-header .state/${blog}.json.0123456789ab.tmp
    sed 's/${blog}/${GONE}/; s/"blog"/"gone"/; s/2880/6400/' .state/${blog}.json >.state/${GONE}.json
    ip netns add rd6336; ip link add rdh6336 type veth peer name rd0 netns rd6336
    install -d /run/rediacc/6336/exec /run/systemd/system/rediacc-net@${NAMED}.service.d
    echo 7 >/run/rediacc/6336/docker.pid; ln -s 6336/docker.sock /run/rediacc/docker-6336.sock
    echo '[Unit]' >/run/systemd/system/rediacc-net@${NAMED}.service.d/10-rediacc.conf
    systemctl start rediacc-volume@${NAMED}.service; true`);
  const before = await everything();
  const { exitCode, stdout } = await desk.rdc('machine doctor box');
  expect(exitCode).toBe(1);
  for (const name of [LOST, deleted, spare, NAMED, GONE, 'rdh6336', 'rd6336', '/run/rediacc/6336', `rediacc-${blog}`]) {
    expect(stdout).toContain(name);
  }
  const { plan } = await desk.json<{ plan: { title: string }[] }>('machine prune box --dry-run');
  expect(plan.length).toBeGreaterThan(10);
  expect(plan.filter(({ title }) => !title.includes(': dead because '))).toEqual([]);
  expect(plan.map(({ title }) => title).join('\n')).not.toMatch(/"shop"|2816/);
  expect(await everything()).toEqual(before);
});

test('prune removes exactly that; what may hold data is told and left, with what to do', async () => {
  const refused = await desk.rdc('machine prune box');
  expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--yes') });
  const { removed, left, failed } = await prune();
  expect(failed).toEqual([]);
  expect([...new Set(removed.map(({ kind }) => kind))].sort()).toEqual([
    ...[
      'drop-in',
      'header backup',
      'image',
      'key file',
      'link',
      'loop device',
      'mapping',
      'namespace',
      'record',
      'runtime file',
    ],
    ...['temporary file', 'unit'],
  ]);
  expect(left.map(({ kind, what }) => `${kind} ${what}`).sort()).toEqual([
    `header backup ${DATASTORE}/.state/${NAMED}.luks-header`,
    `key file ${DATASTORE}/.credentials/keys/${NAMED}.key`,
    `loop device ${byHand.deleted}`,
    `mount ${DATASTORE}/repos/${LOST}`,
    `record ${DATASTORE}/.state/${GONE}.json`,
  ]);
  expect((await leftovers()).filter((found) => !found.includes('left alone because'))).toEqual([]);
  // As they say.
  await vm.root(`cd ${DATASTORE}; umount repos/${LOST}; cryptsetup close rediacc-${LOST}; losetup --detach ${byHand.lost}
    losetup --detach ${byHand.deleted}; rm repositories/${LOST} .state/${NAMED}.luks-header .credentials/keys/${NAMED}.key
    rmdir repos/${LOST}`);
  await desk.done('repo delete gone --yes');
  expect(await leftovers()).toEqual([]);
  expect((await desk.rdc('machine doctor box')).exitCode).toBe(0);
  expect(await everything()).toEqual(clean);
  expect([await answer(), await startedAt()]).toEqual(['well', since]);
});

test('a volume that somebody else uses is not unmounted: they are named, and with --force ended first', async () => {
  await desk.done('repo mount blog');
  const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status blog');
  // In the host's view; in a view of its own, which keeps the mount; two mounts, one on the other.
  await vm.root(`cd ${mountPoint}; setsid sleep 10001 >/dev/null 2>&1 </dev/null &
    systemd-run --quiet --unit=keeper --property=PrivateMounts=yes --property=MountFlags=private sleep 10002
    mkdir ${mountPoint}/a; mount -t tmpfs tmpfs ${mountPoint}/a; mkdir ${mountPoint}/a/b; mount -t tmpfs tmpfs ${mountPoint}/a/b`);
  await vm.root('setsid sleep 10003 >/dev/null 2>&1 </dev/null &');
  const pid = (argument: string) => vm.root(`until pgrep -x -f '(.*/)?sleep ${argument}'; do sleep 0.2; done`);
  const [here, apart, bystander] = [await pid('10001'), await pid('10002'), await pid('10003')];
  const { exitCode, stderr } = await desk.rdc('repo unmount blog');
  expect(exitCode).toBe(1);
  for (const words of [`sleep (pid ${here}, `, `sleep (pid ${apart}, keeper.service, mount namespace of its own)`]) {
    expect(stderr).toContain(words);
  }
  expect(stderr).toContain(`a mount at ${mountPoint}/a/b, a mount at ${mountPoint}/a`);
  expect(stderr).toContain('rdc repo unmount blog --force');
  expect((await desk.json<{ state: string }>('repo status blog')).state).toBe('mounted');
  expect((await desk.rdc('repo unmount blog --force')).exitCode).toBe(2);
  await vm.root(`kill -0 ${here} && kill -0 ${apart}`);
  await desk.done('repo unmount blog --force --yes');
  expect(await vm.root(`ls -d /proc/${here} /proc/${apart} /proc/${bystander} 2>/dev/null; true`)).toBe(
    `/proc/${bystander}`,
  );
  expect(await remainsOf(vm, { guid: blog, networkId: 2880 })).toEqual([]);
  expect(await answer()).toBe('well');
});

describe('the image of an open repository, attached a second time by somebody', () => {
  const RECORD = '/var/lib/rediacc/supervision.json';
  let image: string;
  let second: string;

  test('is told at once: by status, doctor, the record and the notify command', async () => {
    await desk.done('machine supervision --notify-command cat>>/root/notified');
    ({ image } = await desk.json<{ image: string }>('repo status shop'));
    // Control: nothing is told before.
    expect((await desk.json<Status>('repo status shop')).attention).toBeUndefined();
    // By another name of the file, so that no path gives it away.
    second = await vm.root(`ln ${image} /mnt/rediacc/mine; losetup --find --show /mnt/rediacc/mine`);
    const told = `grep -q '"kind": "needs-attention"' ${RECORD} && grep -q needs-attention /root/notified`;
    await vm.root(`for i in $(seq 600); do ${told} && exit 0; sleep 0.2; done; cat ${RECORD}; exit 1`);
    const words = `attached a second time: ${second} (as /mnt/rediacc/mine)`;
    expect((await desk.json<Status>('repo status shop')).attention?.reason).toContain(words);
    expect(await vm.root('cat /root/notified')).toContain(`\\"shop\\" needs attention: its image is ${words}`);
    const doctor = await desk.rdc('machine doctor box');
    expect(doctor.exitCode).toBe(1);
    expect(doctor.stdout).toContain(words);
    expect(doctor.stdout).toContain(`losetup --detach ${second}`);
    // It is somebody's: prune leaves it alone, and what runs goes on.
    expect(await prune()).toMatchObject({ removed: [], failed: [] });
    expect([await answer(), await startedAt()]).toEqual(['well', since]);
  });

  test('is refused before every open, until it is gone', async () => {
    const up = await desk.rdc('repo up shop');
    expect(up.exitCode).toBe(1);
    expect(up.stderr).toContain(`losetup --detach ${second}`);
    await vm.root(`losetup --detach ${second}; rm /mnt/rediacc/mine`);
    await desk.done('repo up shop');
    expect((await desk.json<Status>('repo status shop')).attention).toBeUndefined();
    expect(await answer()).toBe('well');
    // The same of a closed one, opened by somebody under a name of theirs.
    const closed = (await desk.json<{ image: string }>('repo status blog')).image;
    const { credentials } = JSON.parse(await readFile(join(desk.home, '.config/rediacc/credentials.json'), 'utf8'));
    await vm.root(`cryptsetup open --key-file - ${closed} mine`, { input: credentials[blog].value });
    const mount = await desk.rdc('repo mount blog');
    expect(mount.exitCode).toBe(1);
    expect(mount.stderr).toContain('open as "mine"');
    expect(await vm.root('ls /dev/mapper')).not.toContain(`rediacc-${blog}`);
    await vm.root('cryptsetup close mine');
    await desk.done('repo mount blog');
  });
});
