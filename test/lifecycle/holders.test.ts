import { expect, test } from 'vitest';
import { findHolders } from '../../src/lifecycle/holders.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';

const MOUNT = '/mnt/rediacc/repos/shop';
const SOURCE = '- ext4 /dev/mapper/rediacc-shop rw';
const HOST = `25 1 8:1 / / rw shared:1 - ext4 /dev/vda rw\n55 26 253:0 / ${MOUNT} rw shared:123 ${SOURCE}\n`;
/** As udevd's view of it was on a Debian 13 machine. */
const FOLLOWS = `58 69 253:0 / ${MOUNT} rw shared:126 master:123 ${SOURCE}\n`;
const PEER = `59 69 253:0 / ${MOUNT} rw shared:123 ${SOURCE}\n`;
const PRIVATE = `60 69 253:0 / ${MOUNT} rw ${SOURCE}\n`;
const OTHER_VOLUME = `61 69 253:1 / ${MOUNT} rw ${SOURCE}\n`;

function machineWith(view: string, host = HOST) {
  return scriptedSystem(() => ({}), {
    '/proc/self/mountinfo': host,
    '/proc/7/mountinfo': view,
    '/proc/7/comm': 'postgres\n',
    '/proc/7/cgroup': '0::/rediacc.slice/rediacc-2816.slice/docker-ab.scope\n',
    '/proc/version': 'not a process',
  });
}

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

test('a view of its own holds the volume, and is named by process and container', async () => {
  const holder = { pid: 7, process: 'postgres', unit: 'docker-ab.scope' };
  expect(await findHolders(machineWith(PRIVATE), '253:0')).toEqual([holder]);
});

test('a view that followed a mount which the host no longer has holds it too', async () => {
  expect(await findHolders(machineWith(FOLLOWS, ''), '253:0')).toHaveLength(1);
});
