import { expect, test } from 'vitest';
import { containerOf, describeHolders } from '../../src/lifecycle/holder-text.ts';
import { findHolders, findVolumeHolders, type Holder } from '../../src/lifecycle/holders.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';

const MOUNT = '/mnt/rediacc/repos/shop';
const SOURCE = '- ext4 /dev/mapper/rediacc-shop rw';
const ROOT = '25 1 8:1 / / rw shared:1 - ext4 /dev/vda rw\n';
const HOST = `${ROOT}55 26 253:0 / ${MOUNT} rw shared:123 ${SOURCE}\n`;
/** As udevd's view of it was on a Debian 13 machine. */
const FOLLOWS = `58 69 253:0 / ${MOUNT} rw shared:126 master:123 ${SOURCE}\n`;
const PEER = `59 69 253:0 / ${MOUNT} rw shared:123 ${SOURCE}\n`;
const PRIVATE = `60 69 253:0 / ${MOUNT} rw ${SOURCE}\n`;
const OTHER_VOLUME = `61 69 253:1 / ${MOUNT} rw ${SOURCE}\n`;
const CGROUP = '/rediacc.slice/rediacc-2816.slice/docker-ab.scope';
/** proc_pid_stat(5), a name that makes it hard; flags are field 9. */
const stat = (flags = 4194560, state = 'S') =>
  `7 (a) b (c) ${state} 1 7 7 0 -1 ${flags} 100 0 0 0 1 1 0 0 20 0 1 0 4242 1000 10`;

/** Process 7 has a mount namespace of its own, 8 one that is chrooted, 9 the host's. */
const VIEWS = [
  '/proc/self/ns/mnt mnt:[1]',
  '/proc/self/root /',
  '/proc/7/ns/mnt mnt:[7]',
  '/proc/7/root /',
  '/proc/8/ns/mnt mnt:[1]',
  '/proc/8/root /srv/chroot',
  '/proc/9/ns/mnt mnt:[1]',
  '/proc/9/root /',
];

function machineWith(view: string, { host = HOST, users = '', ...more }: Record<string, string> = {}) {
  const found = (args: readonly string[]) => (args.includes('/proc/7/ns/mnt') ? `${VIEWS.join('\0')}\0` : users);
  return scriptedSystem(({ file, args }) => ({ stdout: file === 'find' ? found(args) : '' }), {
    '/proc/self/mountinfo': host,
    '/proc/7/mountinfo': view,
    '/proc/7/comm': 'postgres\n',
    '/proc/7/cgroup': `0::${CGROUP}\n`,
    '/proc/7/stat': stat(),
    '/proc/8/mountinfo': '',
    // The host's own view is not asked a second time.
    '/proc/9/mountinfo': PRIVATE,
    '/proc/version': 'not a process',
    ...more,
  });
}

const POSTGRES: Holder = {
  ...{ pid: 7, startTicks: 4242, isKernelThread: false, process: 'postgres', cgroup: CGROUP, ownView: true },
};

test.each([
  ['the host itself', HOST],
  ['a view that follows the host', FOLLOWS],
  ['a view that shares with the host', PEER],
  ['a view of another volume', OTHER_VOLUME],
  ['a process that is ending', ''],
])('%s holds nothing', async (_, view) => {
  expect(await findHolders(machineWith(view), '253:0')).toEqual([]);
});

test.each(['ESRCH', 'EINVAL'])('a process that has ended (%s) holds nothing', async (code) => {
  const machine = machineWith(PRIVATE);
  const ended = Object.assign(new Error(code), { code });
  const readFile = async (path: string) =>
    path === '/proc/7/mountinfo' ? Promise.reject(ended) : machine.readFile(path);
  expect(await findHolders({ ...machine, readFile }, '253:0')).toEqual([]);
});

test('a view of its own holds the volume, and is known by process, start and cgroup', async () => {
  expect(await findHolders(machineWith(PRIVATE), '253:0')).toEqual([POSTGRES]);
  expect(await findHolders(machineWith(PRIVATE, { '/proc/7/stat': stat(0x0020_0000) }), '253:0')).toMatchObject([
    { isKernelThread: true },
  ]);
  expect(await findHolders(machineWith(PRIVATE, { '/proc/7/stat': stat(0, 'Z') }), '253:0')).toEqual([]);
});

test('a view that followed a mount which the host no longer has holds it too', async () => {
  expect(await findHolders(machineWith(FOLLOWS, { host: '' }), '253:0')).toHaveLength(1);
});

test('what uses the mount in the view of the host, what is mounted on it or of it, and what lies in it', async () => {
  const nested = `${HOST}56 55 0:50 / ${MOUNT}/a rw - tmpfs tmpfs rw\n57 56 0:51 / ${MOUNT}/a/b rw - tmpfs tmpfs rw\n`;
  const machine = machineWith(nested, {
    host: `${nested}58 25 253:0 /x /mnt/x rw ${SOURCE}\n59 25 0:52 / ${MOUNT}-other rw - tmpfs tmpfs rw\n`,
    users: `/proc/7/fd/3 ${MOUNT}/a file\0/proc/7/cwd ${MOUNT}\0`,
    '/sys/block/loop5/loop/backing_file': `${MOUNT}/disk.img\n`,
    '/sys/block/loop6/loop/backing_file': '/var/disk.img\n',
    '/sys/block/dm-0/holders/dm-5': '',
  });
  const held = await findVolumeHolders(machine, { device: '253:0', kernelName: 'dm-0', mountPoint: MOUNT });
  expect(held).toEqual({
    processes: [{ ...POSTGRES, ownView: false }],
    mounts: ['/mnt/x', `${MOUNT}/a/b`, `${MOUNT}/a`],
    loops: ['/dev/loop5'],
    stacked: ['dm-5'],
  });
  // Control: nothing of that holds another volume.
  const other = await findVolumeHolders(machineWith(HOST), {
    ...{ device: '253:9', kernelName: 'dm-9' },
    mountPoint: '/mnt/rediacc/repos/blog',
  });
  expect(other).toEqual({ processes: [], mounts: [], loops: [], stacked: [] });
});

const ID = 'ab'.repeat(32);
test.each([
  [`/system.slice/docker-${ID}.scope`, { id: ID, repo: undefined, engine: 'docker' }],
  [`/machine.slice/libpod-${ID}.scope`, { id: ID, repo: undefined, engine: 'podman' }],
  [
    `/rediacc.slice/rediacc-2816.slice/rediacc-docker@0d6f1a52-7c1e-4b7e-9d0a-0a1b2c3d4e5f.service/containers/${ID}`,
    { id: ID, repo: '0d6f1a52-7c1e-4b7e-9d0a-0a1b2c3d4e5f', engine: 'docker' },
  ],
  ['/user.slice/session-3.scope', undefined],
])('the container of %s', (cgroup, expected) => expect(containerOf({ cgroup })).toEqual(expected));

test('in words: several of one unit are counted, a container has its name, twenty are named', () => {
  const nameOf = () => 'container "db" of the host\'s docker';
  const inContainer = { ...POSTGRES, cgroup: `/system.slice/docker-${ID}.scope` };
  const bash = { ...POSTGRES, process: 'bash', cgroup: '/user.slice/session-3.scope', ownView: false };
  const processes = [inContainer, { ...inContainer, pid: 8 }, bash];
  expect(describeHolders({ processes, mounts: ['/mnt/x'], loops: ['/dev/loop5'], stacked: ['dm-5'] }, nameOf)).toEqual([
    'postgres (pid 7, container "db" of the host\'s docker, mount namespace of its own) and 1 more of it',
    'bash (pid 7, session-3.scope)',
    'a mount at /mnt/x',
    '/dev/loop5, attached to a file in it',
    'the device dm-5 upon it',
  ]);
  const mounts = Array.from({ length: 25 }, (_, index) => `/mnt/${index}`);
  expect(describeHolders({ processes: [], mounts, loops: [], stacked: [] }, nameOf).at(-1)).toBe('5 more');
});

test('a worker of udev, which looks at a device for an instant, holds nothing; control: another process does', async () => {
  const place = { device: '253:9', kernelName: 'dm-0', mountPoint: undefined };
  const users = '/proc/7/fd/3 /dev/dm-0\0';
  const held = async (cgroup: string) =>
    (await findVolumeHolders(machineWith(HOST, { users, '/proc/7/cgroup': `0::${cgroup}\n` }), place)).processes.length;
  expect(await held('/system.slice/systemd-udevd.service/udev')).toBe(0);
  expect(await held('/user.slice/session-3.scope')).toBe(1);
});
