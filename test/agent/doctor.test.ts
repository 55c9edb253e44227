// What machine doctor says of a machine that is not in order; the network part is tried in test/long/hosts.test.ts.
import { describe, expect, it } from 'vitest';
import { examineMachine } from '../../src/agent/doctor.ts';
import { examineNetwork } from '../../src/agent/doctor-network.ts';
import { examineRepositories, type OpenRepo } from '../../src/agent/doctor-repositories.ts';
import type { MachineRecord } from '../../src/agent/machine-record.ts';
import type { Check } from '../../src/protocol/operations.ts';
import { FakeHost } from '../helpers/fake-host.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const byId = (checks: readonly Check[]) => Object.fromEntries(checks.map((check) => [check.id, check]));
const GUID = '0d6f1a52-7c1e-4b7e-9d0a-0a1b2c3d4e5f';
const SHOP = { name: 'shop', guid: GUID, networkId: 2816, state: 'up' } as OpenRepo;

function machine(failedUnits = '') {
  const system = new FakeSystem().directory('/sys/class/net/eth0');
  return system.program('systemctl', () => failedUnits);
}

describe('repositories', () => {
  it('that are in order', async () => {
    const system = machine().directory('/sys/class/net/rdh2816').directory('/run/netns/rd2816');
    const checks = await examineRepositories(system, [SHOP]);
    expect(checks.map(({ status }) => status)).toEqual(['ok', 'ok', 'ok']);
  });

  it('that are broken are named with what to do', async () => {
    const { repositories } = byId(await examineRepositories(machine(), [SHOP, { ...SHOP, state: 'broken' }]));
    expect(repositories).toMatchObject({ status: 'failed', found: 'broken: shop' });
    expect(repositories?.fix).toContain('rdc repo down shop --unmount');
  });

  it('whose units failed', async () => {
    const failed = 'rediacc-docker@x.service loaded failed failed docker daemon of repository shop\n';
    const checks = byId(await examineRepositories(machine(failed), [SHOP]));
    expect(checks['failed-units']).toMatchObject({
      status: 'warning',
      found: 'rediacc-docker@x.service',
      fix: 'journalctl --unit rediacc-docker@x.service',
    });
  });
});

describe('filesystems', () => {
  const withErrors = (device: string, errors: number) =>
    machine()
      .file('/sys/block/dm-3/dm/name', `rediacc-${SHOP.guid}\n`)
      .file('/sys/block/dm-3/dev', '254:3\n')
      .file(`/sys/fs/ext4/${device}/errors_count`, `${errors}\n`);

  it.each([
    ['dm-3', '"shop": 2 errors', 'after rdc repo down shop --unmount'],
    ['vda', '/dev/vda: 2 errors', 'while it is not mounted'],
  ])('that have had errors are told by whose they are: %s', async (device, found, fix) => {
    const { filesystems } = byId(await examineRepositories(withErrors(device, 2), [SHOP]));
    expect(filesystems).toMatchObject({
      status: 'failed',
      found: expect.stringContaining(found),
      fix: expect.stringContaining(fix),
    });
  });

  it('control: one without is in order', async () => {
    expect(byId(await examineRepositories(withErrors('dm-3', 0), [SHOP])).filesystems?.status).toBe('ok');
  });
});

describe('name servers of a daemon that runs', () => {
  const staleOn = async (inside: string | undefined, pid = '4242') => {
    const system = machine(`${pid}\n`).file('/etc/resolv.conf', 'nameserver 192.0.2.2\nnameserver 192.0.2.3\n');
    if (inside !== undefined) system.file('/proc/4242/root/etc/resolv.conf', inside);
    const set = { version: 1, datastore: '/mnt/rediacc', registryMirrors: [], setUpAt: '' } as const;
    const checks = byId(await examineNetwork(system, set as unknown as MachineRecord, [SHOP]));
    return checks['stale-names'];
  };

  it.each([
    ['others', 'nameserver 192.0.2.1\n', '"shop" was started with: 192.0.2.1'],
    ['a file that is gone', undefined, '"shop" was started with: none'],
  ])('%s are told, with what to do', async (_what, inside, found) => {
    const fix = 'rdc repo down shop --unmount, then rdc repo up shop';
    expect(await staleOn(inside)).toMatchObject({ status: 'failed', found, fix });
  });

  it('control: the same, or no daemon, are not', async () => {
    expect(await staleOn('search x\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n')).toBeUndefined();
    expect(await staleOn(undefined, '0')).toBeUndefined();
  });
});

describe('a machine', () => {
  const examine = async (system: FakeSystem) =>
    byId(await examineMachine({ system }, { listRepos: () => Promise.resolve([]), lockDir: '/nowhere' }));
  const record = { version: 1, datastore: '/mnt/rediacc', registryMirrors: [], setUpAt: '2026-01-02T00:00:00.000Z' };

  it('that was never set up is told how, and nothing else', async () => {
    const checks = await examine(machine());
    expect(Object.keys(checks)).toEqual(['agent', 'set-up']);
    expect(checks['set-up']).toMatchObject({ status: 'failed', fix: 'rdc context setup-machine MACHINE' });
  });

  it('without its datastore, with units and programs gone and a stub that only the host can ask', async () => {
    const host = new FakeHost();
    host.program('systemctl', ({ args }) =>
      args[0] === 'list-units' ? '' : 'LoadState=not-found\nActiveState=inactive\n',
    );
    host.directory('/sys/class/net/eth0').file('/etc/resolv.conf', 'nameserver 127.0.0.1\n');
    host.file('/etc/rediacc/machine.json', JSON.stringify(record));
    const checks = await examine(host);
    expect(checks.datastore).toMatchObject({ status: 'failed', fix: 'mount /mnt/rediacc' });
    expect(checks.units).toMatchObject({ status: 'failed', fix: 'rdc context setup-machine MACHINE' });
    expect(checks.cryptsetup).toMatchObject({ status: 'missing', fix: 'rdc context setup-machine MACHINE' });
    expect(checks['resolv-conf']).toMatchObject({
      status: 'failed',
      found: 'repositories reach none of: 127.0.0.1',
    });
    expect(checks.guard).toMatchObject({ status: 'ok', found: 'not needed: no repository is running' });
  });
});
