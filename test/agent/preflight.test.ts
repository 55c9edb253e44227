// Preflight: what each program's recorded output is read as, and the verdict of each check over hand-made facts.
import { describe, expect, it } from 'vitest';
import { checkFirewall, type FirewallFacts, observeFirewall } from '../../src/agent/firewall-facts.ts';
import { observeHost, observeServices } from '../../src/agent/host-facts.ts';
import { parseAptChanges, parseAptPolicy } from '../../src/agent/packages.ts';
import { isFit, judge, observePreflight, type Preflight, preflight } from '../../src/agent/preflight.ts';
import { FakeHost } from '../helpers/fake-host.ts';

const byId = (facts: Preflight) => Object.fromEntries(judge(facts).map((check) => [check.id, check]));

describe('recorded outputs', () => {
  it('apt-cache policy: packages without a candidate are left out', () => {
    const text = `docker.io:
  Installed: (none)
  Candidate: 26.1.5+dfsg1-9+b9
  Version table:
     26.1.5+dfsg1-9+b9 500
        500 http://mirror.example/debian trixie/main amd64 Packages
docker-compose-plugin:
  Installed: (none)
  Candidate: (none)
  Version table:
cryptsetup-bin:
  Installed: 2:2.7.5-2
  Candidate: 2:2.7.5-2
  Version table:
 *** 2:2.7.5-2 500
`;
    expect([...parseAptPolicy(text)]).toEqual([
      ['docker.io', '26.1.5+dfsg1-9+b9'],
      ['cryptsetup-bin', '2:2.7.5-2'],
    ]);
  });

  it('apt-get --simulate: upgrades and removals, not new packages', () => {
    const text = `Reading package lists...
Inst libslirp0 (4.8.0-1 Debian:13.1/stable [amd64])
Inst containerd [1.6.20~ds1-1] (1.7.24~ds1-6 Debian:13.1/stable [amd64])
Remv docker-ce-cli [5:27.0.3-1]
Conf libslirp0 (4.8.0-1 Debian:13.1/stable [amd64])
`;
    expect(parseAptChanges(text)).toEqual(['containerd', 'docker-ce-cli']);
  });

  it('systemctl show: one block per unit, in the order of the names', async () => {
    const host = new FakeHost().program(
      'systemctl',
      () => `Id=docker.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=nix.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
NeedDaemonReload=no
`,
    );
    expect(await observeServices(host, ['docker.service', 'nix.service'])).toEqual({
      'docker.service': { active: 'active', enabled: 'enabled', loaded: true, needsReload: false },
      'nix.service': { active: 'inactive', enabled: '', loaded: false, needsReload: false },
    });
  });

  it('nft --json list chains: policies of the forward hook', async () => {
    const host = new FakeHost();
    const policy = { handle: 1, type: 'filter', hook: 'forward', prio: 0, policy: 'drop' };
    host.chains = [
      { chain: { family: 'ip', table: 'filter', name: 'FORWARD', ...policy } },
      { chain: { family: 'ip', table: 'filter', name: 'DOCKER-USER', handle: 2 } },
      { chain: { family: 'inet', table: 'mine', name: 'in', ...policy, hook: 'input' } },
    ];
    const facts = await observeFirewall(host, { nft: '/usr/sbin/nft' }, {});
    expect(facts).toMatchObject({ dropping: ['ip filter FORWARD'], hasDockerUser: true });
  });

  it.each([
    ['2.26.1-4\n', '2.26.1-4'],
    ['v2.39.1\n', '2.39.1'],
    ['1.29.2\n', undefined],
    ['', undefined],
  ])('docker compose version --short %j', async (stdout, version) => {
    const host = new FakeHost().file('/usr/bin/docker').program('docker', () => stdout);
    expect((await observeHost(host, '/mnt/rediacc')).composeVersion).toBe(version);
  });

  it('df of what exists of the path', async () => {
    let asked: readonly string[] = [];
    const host = new FakeHost().program('df', ({ args }) => {
      asked = args;
      return 'Type    1B-blocks      Avail\next4  8178683904 5242880000\n';
    });
    expect((await observeHost(host, '/mnt/not/yet')).disk).toEqual({
      filesystem: 'ext4',
      totalBytes: 8178683904,
      freeBytes: 5242880000,
    });
    expect(asked.at(-1)).toBe('/mnt');
  });
});

describe('verdicts', () => {
  const good = async () => observePreflight(new FakeHost(), '/mnt/rediacc');

  it('a fresh server is fit: what is missing, setup brings', async () => {
    const { checks, fit } = await preflight(new FakeHost(), '/mnt/rediacc');
    expect(fit).toBe(true);
    const missing = checks.filter((check) => check.status === 'missing').map((check) => check.id);
    expect(missing).toEqual([
      'cryptsetup',
      'dmsetup',
      'docker',
      'docker-cli',
      'ca-certificates',
      'nftables',
      'iptables',
      'rsync',
      'compose',
      'sudo',
    ]);
    expect(checks.every((check) => check.status === 'ok' || check.fix !== undefined)).toBe(true);
  });

  it.each<[string, Partial<Preflight['host']>, string]>([
    ['kernel', { kernel: '5.4.0-150-generic' }, 'failed'],
    ['kernel', { kernel: '5.15.0-91-generic' }, 'warning'],
    ['kernel', { kernel: '6.1.0-13-amd64' }, 'ok'],
    ['systemd', { systemdVersion: 241 }, 'failed'],
    ['systemd', { systemdVersion: 249 }, 'warning'],
    ['systemd', { pid1: 'runit' }, 'failed'],
    ['cgroup', { cgroupControllers: undefined }, 'failed'],
    ['cgroup', { cgroupControllers: ['cpu', 'pids'] }, 'warning'],
    ['encryption', { modules: { dm_crypt: 'missing', xts: 'loaded' } }, 'failed'],
    ['loop', { modules: { loop: 'missing' } }, 'failed'],
    ['netns', { netnsUsable: false }, 'failed'],
    ['machine', { container: 'docker' }, 'failed'],
    ['datastore', { disk: { filesystem: 'overlay', totalBytes: 1e12, freeBytes: 1e12 } }, 'failed'],
    ['datastore', { disk: { filesystem: 'nfs4', totalBytes: 1e12, freeBytes: 1e12 } }, 'warning'],
    ['datastore', { disk: { filesystem: 'ext4', totalBytes: 1e12, freeBytes: 1e6 } }, 'warning'],
  ])('%s with %j is %s', async (id, change, status) => {
    const facts = await good();
    const host = { ...facts.host, ...change, modules: { ...facts.host.modules, ...change.modules } };
    expect(byId({ ...facts, host })[id]).toMatchObject({ status });
    expect(isFit(judge({ ...facts, host }))).toBe(status !== 'failed');
  });

  it('modules that an upgrade took away ask for a reboot', async () => {
    const facts = await good();
    const host = {
      ...facts.host,
      hasModuleTree: false,
      modules: { ...facts.host.modules, dm_crypt: 'missing' as const },
    };
    expect(byId({ ...facts, host }).kernel).toMatchObject({ status: 'failed', fix: expect.stringContaining('reboot') });
  });

  const quiet: FirewallFacts = {
    dropping: [],
    hasDockerUser: false,
    ufw: { active: false, hasRule: false },
    firewalld: { active: false, hasRule: false },
  };
  it.each<[string, Partial<FirewallFacts>, string]>([
    ['no firewall', {}, 'ok'],
    ['docker drops, and has a place for our rule', { dropping: ['ip filter FORWARD'], hasDockerUser: true }, 'ok'],
    ['somebody else drops', { dropping: ['inet filter forward'] }, 'warning'],
    [
      'docker and somebody else drop',
      { dropping: ['ip filter FORWARD', 'inet mine fwd'], hasDockerUser: true },
      'warning',
    ],
    ['ufw without our rule', { ufw: { active: true, hasRule: false } }, 'missing'],
    ['ufw with it', { dropping: ['ip filter FORWARD'], ufw: { active: true, hasRule: true } }, 'ok'],
    ['firewalld without our rule', { firewalld: { active: true, hasRule: false } }, 'missing'],
  ])('%s', (_what, change, status) => {
    expect(checkFirewall({ ...quiet, ...change })).toMatchObject({ status });
  });
});
