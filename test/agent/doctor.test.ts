// What machine doctor says of a machine that is not in order; the network part is tried in test/machine/hosts.test.ts.
import { describe, expect, it } from 'vitest';
import { examineMachine } from '../../src/agent/doctor.ts';
import { examineRepositories, type OpenRepo } from '../../src/agent/doctor-repositories.ts';
import type { Check } from '../../src/protocol/operations.ts';
import { FakeHost } from '../helpers/fake-host.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const byId = (checks: readonly Check[]) => Object.fromEntries(checks.map((check) => [check.id, check]));
const SHOP = { name: 'shop', networkId: 2816, state: 'up' } as OpenRepo;

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

  it('that nobody knows any more, but whose link or namespace is there', async () => {
    const system = machine().directory('/sys/class/net/rdh2880').directory('/run/netns/rd2880');
    const { leftovers } = byId(await examineRepositories(system, [SHOP]));
    expect(leftovers).toMatchObject({ status: 'warning', found: 'rdh2880, rd2880', fix: 'ip link del rdh2880' });
  });
});

describe('a machine', () => {
  const examine = async (system: FakeSystem) =>
    byId(await examineMachine({ system }, { listRepos: () => Promise.resolve([]) }));
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
