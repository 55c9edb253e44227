// machine.setup on the model machine: what it does to a fresh server, that twice is once, that a crash at any point is
// survived, and that the host's own docker is left alone.
import { describe, expect, it } from 'vitest';
import { setUpMachine } from '../../src/agent/setup.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { type InputOf, OPERATIONS } from '../../src/protocol/operations.ts';
import { FakeHost } from '../helpers/fake-host.ts';
import { Crash } from '../helpers/fake-system.ts';
import { spaceWith } from '../helpers/space.ts';
import { DATASTORE, FILES, RECORD, SUDO_LINE } from '../scenarios/setup.ts';

const NOW = Date.UTC(2026, 0, 2);

async function setUp(
  host: FakeHost,
  request: Partial<Record<keyof InputOf<'machine.setup'>, unknown>> = {},
  dryRun = false,
) {
  const events: RunEvent[] = [];
  const context = {
    system: host,
    run: '000000000000-00000000' as RunId,
    actor: 'test',
    dryRun,
    report: (event: RunEvent) => events.push(event),
    signal: new AbortController().signal,
    undoing: host,
  };
  const input = OPERATIONS['machine.setup'].input.parse({ datastore: '/mnt/rediacc', sudoUser: 'deploy', ...request });
  const finished = await setUpMachine(input, context, { now: () => NOW });
  return { ...finished, events };
}

const changes = (host: FakeHost) =>
  host.journal.filter(
    (line) =>
      !/^run (systemctl (show|--version)|df|realpath|getent|nft --json|apt-cache|docker compose|modprobe --dry-run|.*--simulate)/.test(
        line,
      ),
  );
const stepsDone = (events: RunEvent[]) =>
  events.flatMap((event) => (event.kind === 'step' && event.state === 'done' ? [event.id] : []));
const text = (host: FakeHost, path: string) => host.nodes.get(path)?.text;

describe('a fresh server', () => {
  it('gets what is missing, the datastore, the guard, the sudo rule and last its record', async () => {
    const host = new FakeHost();
    const { outcome, output, events } = await setUp(host);
    expect(outcome).toBe('done');
    expect(output?.changed).toBe(true);
    expect(output?.checks.filter((check) => check.status !== 'ok')).toEqual([]);
    expect(stepsDone(events)).toEqual([
      'packages.lists',
      'docker.hold',
      'packages.install',
      'docker.release',
      'modules.load',
      'datastore.directories',
      'units.datastore',
      'guard.rules',
      'guard.refresh-unit',
      'guard.refresh',
      'sudo.rule',
      'machine.record',
      'datastore.reserve',
    ]);
    expect(host.tree('/mnt/rediacc').map((line) => line.trim())).toEqual(DATASTORE);
    expect(
      FILES.map((line) => line.split(' ')[1] ?? '').map((path) => `${host.nodes.get(path)?.mode.toString(8)} ${path}`),
    ).toEqual(FILES);
    expect(text(host, '/etc/sudoers.d/rediacc')).toContain(`\n${SUDO_LINE}\n`);
    expect(JSON.parse(text(host, '/etc/rediacc/machine.json') ?? '')).toEqual({
      ...RECORD,
      registryMirrors: [],
      forwardingWasOff: true,
      forwarding6WasOff: true,
      setUpAt: '2026-01-02T00:00:00.000Z',
    });
  });

  it('is not given a running docker of its own', async () => {
    const host = new FakeHost();
    const { events } = await setUp(host);
    expect(host.startedByPackages).toEqual([]);
    for (const name of ['docker.service', 'docker.socket', 'containerd.service']) {
      expect(host.unit(name)).toEqual({ active: 'inactive', enabled: 'disabled' });
    }
    expect(text(host, '/etc/rediacc/held-units')).toBeUndefined();
    expect(events.filter((event) => event.kind === 'warning')).toHaveLength(1);
  });

  it('the second time finds everything done', async () => {
    const host = new FakeHost();
    await setUp(host, { registryMirrors: ['http://10.0.2.15:5000'] });
    const state = host.state();
    host.journal.length = 0;
    const again = await setUp(host);
    expect(again.output?.changed).toBe(false);
    expect(stepsDone(again.events)).toEqual([]);
    expect(changes(host)).toEqual([
      'run systemctl enable --quiet --now rediacc-agent.socket',
      'run systemctl enable --quiet rediacc-autostart.service',
    ]);
    expect(host.state()).toEqual(state);
  });

  it('a dry run shows the plan and changes nothing', async () => {
    const host = new FakeHost();
    const before = host.state();
    const { outcome, output, events } = await setUp(host, { datastoreSizeBytes: 10 * 1024 ** 3 }, true);
    expect({ outcome, output }).toEqual({ outcome: 'planned', output: undefined });
    expect(changes(host)).toEqual([]);
    expect(host.state()).toEqual(before);
    const [plan] = events;
    expect(plan?.kind === 'plan' ? plan.steps.map(({ id, expect: what }) => `${id} ${what}`) : []).toEqual([
      'packages.lists change',
      'docker.hold change',
      'packages.install change',
      'docker.release already',
      'modules.load change',
      'pool.image change',
      'pool.unit change',
      'pool.mount change',
      'datastore.directories change',
      'units.datastore change',
      'guard.rules change',
      'guard.refresh-unit change',
      'guard.refresh change',
      'firewall.ufw already',
      'firewall.firewalld already',
      'sudo.rule change',
      'machine.record change',
      'datastore.reserve change',
    ]);
  });
});

describe('the reserve of the datastore', () => {
  it('is made by a second setup where the first one knew nothing of it, and not where there is no room', async () => {
    const host = new FakeHost();
    await setUp(host);
    host.nodes.delete('/mnt/rediacc/.reserve');
    host.spaces.set('/mnt/rediacc', spaceWith(500 * 1024 ** 2));
    expect((await setUp(host)).output?.changed).toBe(false);
    host.spaces.clear();
    expect(stepsDone((await setUp(host)).events)).toEqual(['datastore.reserve']);
    expect(host.nodes.get('/mnt/rediacc/.reserve')?.sizeBytes).toBe(256 * 1024 ** 2);
  });

  it('where its filesystem cannot have one, that is told, and the machine is set up', async () => {
    const host = new FakeHost();
    host.reserve = () => Promise.reject(new Error('Operation not supported'));
    const { outcome, events } = await setUp(host);
    expect(outcome).toBe('done');
    expect(events).toContainEqual({
      kind: 'warning',
      message: 'the datastore has no reserve: Operation not supported',
    });
  });

  it('is not left below a pool, and keeps nobody from making one', async () => {
    const host = new FakeHost();
    await setUp(host);
    host.journal.length = 0;
    await setUp(host, { datastoreSizeBytes: 10 * 1024 ** 3 });
    const order = ['remove /mnt/rediacc/.reserve', 'run systemctl enable --quiet --now mnt-rediacc.mount'];
    expect(host.journal.filter((line) => order.includes(line))).toEqual(order);
  });
});

describe('a crash', () => {
  it.each([{}, { datastoreSizeBytes: 10 * 1024 ** 3 }])(
    'after any action is made good by a second setup: %j',
    async (request) => {
      const whole = new FakeHost();
      await setUp(whole, request);
      for (let actions = 0; actions < whole.journal.length; actions += 1) {
        const host = new FakeHost();
        host.crashAfter = actions;
        await expect(setUp(host, request)).rejects.toThrow(Crash);
        host.crashAfter = Number.POSITIVE_INFINITY;
        await setUp(host, request);
        expect(host.state(), `crash after ${actions}: ${whole.journal[actions]}`).toEqual(whole.state());
        expect(host.startedByPackages).toEqual([]);
      }
    },
  );
});

describe('a server with docker of its own', () => {
  const withDocker = () => {
    const host = new FakeHost();
    for (const file of ['/usr/bin/dockerd', '/usr/bin/containerd', '/usr/bin/runc', '/usr/bin/docker']) host.file(file);
    for (const name of ['docker.service', 'docker.socket', 'containerd.service']) {
      host.units.set(name, { active: 'active', enabled: 'enabled' });
    }
    return host;
  };

  it('keeps it as it is', async () => {
    const host = withDocker();
    await setUp(host);
    expect(host.journal.filter((line) => /systemctl (mask|unmask|disable|stop|restart|reload)/.test(line))).toEqual([]);
    expect(host.journal.find((line) => line.includes('apt-get install') && !line.includes('--simulate'))).not.toMatch(
      /docker\.io|docker-cli/,
    );
    expect(host.unit('docker.service')).toEqual({ active: 'active', enabled: 'enabled' });
  });

  it('is refused where installing the rest would change it', async () => {
    const host = withDocker();
    host.packages = {
      ...host.packages,
      'docker-compose': { version: '2.26.1-4', files: [], changes: ['Inst containerd [1.6.20] (1.7.24 Debian)'] },
    };
    await expect(setUp(host)).rejects.toMatchObject({
      code: 'HOST_NOT_SUITABLE',
      message: expect.stringContaining("would change the machine's own containerd"),
    });
    expect(text(host, '/etc/rediacc/machine.json')).toBeUndefined();
  });
});

describe('what other programs of the machine are told', () => {
  it('NetworkManager, networkd and dhcpcd leave the links alone, where they are installed', async () => {
    const host = new FakeHost();
    for (const path of ['/usr/sbin/NetworkManager', '/usr/lib/systemd/systemd-networkd', '/usr/sbin/dhcpcd'])
      host.file(path);
    host.file('/etc/dhcpcd.conf', 'hostname\ninterface eth0\nstatic ip_address=10.0.0.2/24\n');
    host.units.set('NetworkManager.service', { active: 'active', enabled: 'enabled' });
    await setUp(host);
    expect(text(host, '/etc/NetworkManager/conf.d/90-rediacc.conf')).toBe(
      '[keyfile]\nunmanaged-devices+=interface-name:rdh*\n',
    );
    expect(text(host, '/etc/systemd/network/10-rediacc.network')).toContain('Unmanaged=yes');
    expect(text(host, '/etc/dhcpcd.conf')).toMatch(/^# rediacc.*\ndenyinterfaces rdh\*\n\nhostname\ninterface eth0/);
    expect(host.journal).toContain('run systemctl reload NetworkManager.service');
    host.journal.length = 0;
    expect((await setUp(host)).output?.changed).toBe(false);
  });

  it('an active ufw gets one tagged rule, once', async () => {
    const host = new FakeHost();
    host.file('/usr/sbin/ufw');
    host.file('/etc/ufw/ufw.conf', 'ENABLED=yes\n').file('/etc/ufw/user.rules', '-A ufw-user-input -j ACCEPT\n');
    await setUp(host);
    await setUp(host);
    expect(text(host, '/etc/ufw/user.rules')).toBe(
      '-A ufw-user-input -j ACCEPT\n-A ufw-user-forward -i rdh+ -j ACCEPT\n',
    );
  });

  it('each login name gets its own line, and lines that are there stay', async () => {
    const host = new FakeHost();
    await setUp(host);
    await setUp(host, { sudoUser: 'ops' });
    await setUp(host, { sudoUser: 'root' });
    expect(
      text(host, '/etc/sudoers.d/rediacc')
        ?.split('\n')
        .filter((line) => line.endsWith('renet connect')),
    ).toEqual([
      'deploy ALL=(root) NOPASSWD: /usr/bin/renet connect',
      'ops ALL=(root) NOPASSWD: /usr/bin/renet connect',
    ]);
  });

  it('a running guard takes new rules at once', async () => {
    const host = new FakeHost();
    await setUp(host);
    host.units.set('rediacc-guard.service', { active: 'active', enabled: 'static' });
    await setUp(host, { registryMirrors: ['https://mirror.example'] });
    expect(text(host, '/etc/rediacc/guard.nft')).toContain('ip daddr 10.9.8.7 tcp dport 443 accept');
    expect(host.journal).toContain('run systemctl reload rediacc-guard.service');
  });
});
