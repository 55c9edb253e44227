// What setup refuses, each by name and before anything is changed.
import { describe, expect, it } from 'vitest';
import { machineText } from '../../src/agent/machine-record.ts';
import { setUpMachine } from '../../src/agent/setup.ts';
import { mountUnitName } from '../../src/agent/setup-datastore.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { OPERATIONS } from '../../src/protocol/operations.ts';
import { FakeHost } from '../helpers/fake-host.ts';

const GIB = 1024 ** 3;

async function attempt(host: FakeHost, request: object = {}) {
  const context = {
    system: host,
    run: '000000000000-00000000' as RunId,
    actor: 'test',
    dryRun: false,
    report: () => undefined,
    signal: new AbortController().signal,
    undoing: host,
  };
  const input = OPERATIONS['machine.setup'].input.parse({ datastore: '/mnt/rediacc', ...request });
  return setUpMachine(input, context, { now: () => 1_800_000_000_000 });
}

const record = {
  version: 1 as const,
  datastore: '/mnt/rediacc',
  registryMirrors: [],
  setUpAt: '2026-01-01T00:00:00.000Z',
};
const setUpBefore = (host: FakeHost, more: object = {}) =>
  host.file('/etc/rediacc/machine.json', machineText({ ...record, ...more }));

describe('setup refuses', () => {
  const cases: [what: string, prepare: (host: FakeHost) => void, request: object, code: string, words: string][] = [
    [
      'a second datastore',
      (host) => setUpBefore(host),
      { datastore: '/srv/other' },
      'ALREADY_EXISTS',
      '"/mnt/rediacc"',
    ],
    ['a directory of the system', () => undefined, { datastore: '/usr' }, 'INVALID_INPUT', 'belongs to the system'],
    ['the root', () => undefined, { datastore: '/' }, 'INVALID_INPUT', 'belongs to the system'],
    [
      'our own state directory',
      () => undefined,
      { datastore: '/var/lib/rediacc' },
      'INVALID_INPUT',
      'belongs to the system',
    ],
    ['a symbolic link', (host) => host.program('realpath', () => '/data/pool\n'), {}, 'INVALID_INPUT', 'symbolic link'],
    ['a file in the place', (host) => host.file('/mnt/rediacc'), {}, 'INVALID_INPUT', 'no directory'],
    ['an unknown login name', () => undefined, { sudoUser: 'nobody2' }, 'INVALID_INPUT', 'no user "nobody2"'],
    [
      'a mirror on the loopback',
      () => undefined,
      { registryMirrors: ['http://127.0.0.1:5000'] },
      'INVALID_INPUT',
      'out of reach',
    ],
    [
      'a mirror by IPv6',
      () => undefined,
      { registryMirrors: ['http://[fd00::1]:5000'] },
      'INVALID_INPUT',
      'out of reach',
    ],
    [
      'a mirror without address',
      () => undefined,
      { registryMirrors: ['http://nowhere.example'] },
      'INVALID_INPUT',
      'its name is unknown',
    ],
    [
      'a mirror with a login',
      () => undefined,
      { registryMirrors: ['http://me:pw@10.0.0.1'] },
      'INVALID_INPUT',
      'no login',
    ],
    [
      'a torn record',
      (host) => host.file('/etc/rediacc/machine.json', '{"version": 1,'),
      {},
      'CONFIG_INVALID',
      '/etc/rediacc/machine.json',
    ],
    [
      'a pool that does not fit',
      (host) => (host.freeBytes = 5 * GIB),
      { datastoreSizeBytes: 10 * GIB },
      'NO_SPACE',
      'a pool of 10G does not fit: 5G free',
    ],
    ['a tiny pool', () => undefined, { datastoreSizeBytes: 1000 }, 'INVALID_INPUT', 'at least 1G'],
    [
      'a pool over repositories',
      (host) => host.file('/mnt/rediacc/repositories/0d6f1a52'),
      { datastoreSizeBytes: 10 * GIB },
      'ALREADY_EXISTS',
      'holds repositories already',
    ],
    [
      'a pool over other data',
      (host) => host.file('/mnt/rediacc/photos.tar'),
      { datastoreSizeBytes: 10 * GIB },
      'ALREADY_EXISTS',
      'photos.tar',
    ],
    [
      'a pool over a filesystem',
      (host) => host.file('/proc/self/mountinfo', '40 25 254:16 / /mnt/rediacc rw shared:9 - xfs /dev/vdb rw\n'),
      { datastoreSizeBytes: 10 * GIB },
      'INVALID_INPUT',
      'mounted filesystem (xfs)',
    ],
    [
      'another size of the pool',
      (host) =>
        setUpBefore(host, { pool: { image: '/var/lib/rediacc/pool.img', sizeBytes: 10 * GIB, filesystem: 'btrfs' } }),
      { datastoreSizeBytes: 20 * GIB },
      'ALREADY_EXISTS',
      'has 10G already',
    ],
    [
      'another filesystem of the pool',
      (host) =>
        setUpBefore(host, { pool: { image: '/var/lib/rediacc/pool.img', sizeBytes: 10 * GIB, filesystem: 'btrfs' } }),
      { datastoreFilesystem: 'xfs' },
      'ALREADY_EXISTS',
      'has btrfs already',
    ],
    ['a filesystem for no pool', () => undefined, { datastoreFilesystem: 'xfs' }, 'INVALID_INPUT', 'needs a size'],
    [
      'a container as machine',
      (host) => host.file('/run/systemd/container', 'lxc\n'),
      {},
      'HOST_NOT_SUITABLE',
      'a container (lxc)',
    ],
    ['a datastore in memory', (host) => (host.filesystem = 'tmpfs'), {}, 'HOST_NOT_SUITABLE', 'tmpfs'],
  ];

  it.each(cases)('%s', async (_what, prepare, request, code, words) => {
    const host = new FakeHost();
    prepare(host);
    const before = host.state();
    await expect(attempt(host, request)).rejects.toMatchObject({ code, message: expect.stringContaining(words) });
    expect(host.state()).toEqual(before);
  });

  it('a distribution without compose version 2, naming the package', async () => {
    const host = new FakeHost();
    host.packages = { ...host.packages, 'docker-compose': { version: '1.29.2-3', files: [] } };
    await expect(attempt(host)).rejects.toMatchObject({
      code: 'HOST_NOT_SUITABLE',
      message: expect.stringContaining('no package for docker compose'),
      hint: expect.stringContaining('docker-compose-plugin'),
    });
  });

  it('a package manager that it does not know, naming what is missing', async () => {
    const host = new FakeHost();
    host.nodes.delete('/usr/bin/apt-get');
    await expect(attempt(host)).rejects.toMatchObject({
      code: 'HOST_NOT_SUITABLE',
      message: expect.stringContaining('cryptsetup-bin'),
    });
  });
});

describe('forwarding', () => {
  const wasOff = async (prepare: (host: FakeHost) => void) => {
    const host = new FakeHost();
    prepare(host);
    await attempt(host);
    const text = host.nodes.get('/etc/rediacc/guard.nft')?.text ?? '';
    return ['ipv4', 'ipv6'].filter((family) =>
      text.includes(`meta nfproto ${family} iifname != @bridges oifname != @bridges drop`),
    );
  };

  it.each<[string, (host: FakeHost) => void, string[]]>([
    ['off', () => undefined, ['ipv4', 'ipv6']],
    ['on already for IPv6', (host) => host.file('/proc/sys/net/ipv6/conf/all/forwarding', '1\n'), ['ipv4']],
    [
      'wanted for IPv6 by a file of sysctl.d',
      (host) => host.file('/etc/sysctl.d/router.conf', 'net.ipv6.conf.all.forwarding=1\n'),
      ['ipv4'],
    ],
    [
      'on already, by docker or an administrator',
      (host) => host.file('/proc/sys/net/ipv4/ip_forward', '1\n'),
      ['ipv6'],
    ],
    [
      'off before the first setup, on now by us',
      (host) => setUpBefore(host.file('/proc/sys/net/ipv4/ip_forward', '1\n'), { forwardingWasOff: true }) && undefined,
      ['ipv4', 'ipv6'],
    ],
    [
      'wanted by a file of sysctl.d',
      (host) => host.file('/etc/sysctl.d/router.conf', 'net.ipv4.ip_forward = 1\n'),
      ['ipv6'],
    ],
  ])('%s: other forwards are dropped by the guard or not', async (_what, prepare, expected) => {
    expect(await wasOff(prepare)).toEqual(expected);
  });
});

it.each([
  ['/mnt/rediacc', 'mnt-rediacc.mount'],
  ['/srv/my-pool/a_b', 'srv-my\\x2dpool-a_b.mount'],
  ['/.hidden', '\\x2ehidden.mount'],
])('the mount unit of %s is %s', (path, name) => {
  expect(mountUnitName(path)).toBe(name);
});
