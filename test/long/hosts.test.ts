// Servers as they are: with docker, ufw, firewalld, stubs for name service. On one machine, one after the other: outbound
// traffic and names work in a repository, nothing else of the host's rules changes, and what somebody takes away is
// noticed by doctor and put back by up. "outside" is a network behind the machine (test/fixtures/hosts/outside.sh).
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeFirewallRuleSteps } from '../../src/agent/firewall-rules.ts';
import { describeAction } from '../../src/lifecycle/step.ts';
import type { Check } from '../../src/protocol/operations.ts';
import { type Desk, openDesk } from '../machine/desk.ts';
import { installFirewallTools } from '../machine/firewall-tools.ts';
import { startTestVm, type TestVm } from '../machine/vm.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/hosts', import.meta.url));
const OUR_RULE = '-A DOCKER-USER -m mark --mark 0x72646163 -m comment --comment rediacc -j ACCEPT';
const SLICE = '/sys/fs/cgroup/rediacc.slice/rediacc-2816.slice';

let vm: TestVm;
let desk: Desk;
/** All rules of the host before a repository was open. */
let before: string;

beforeAll(async () => {
  vm = await startTestVm({ flavour: 'server' });
  desk = await openDesk(vm);
  await installFirewallTools(vm);
  await vm.root('cat > /root/names.pl', { input: await readFile(join(FIXTURES, 'names.pl'), 'utf8') });
  await vm.root('bash -s', { input: await readFile(join(FIXTURES, 'outside.sh'), 'utf8') });
  await vm.root('bash -s', { input: HOST_DOCKER, timeoutMs: 600_000 });
  before = await hostRules();
  await desk.done('context create-local home --ssh-key ~/.ssh/id_ed25519');
  await desk.done(`context add-machine box --ip ${vm.sshHost} --user deploy --port ${vm.sshPort}`);
  await desk.done(`context setup-machine box --registry-mirror ${vm.registryMirror}`);
  await desk.done('repo create shop --size 300M');
  await desk.done('repo mount shop');
  await desk.done(`sync upload -r shop --local ${join(FIXTURES, 'shop')}`);
}, 1_200_000);
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

/** Data elsewhere, an API on loopback, a container of its own; names by a file that a manager keeps below /run. */
const HOST_DOCKER = `set -e
systemctl stop docker.socket docker
mkdir -p /srv/docker /etc/systemd/system/docker.service.d /run/NetworkManager
echo '{"data-root": "/srv/docker", "hosts": ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375"]}' > /etc/docker/daemon.json
printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd\\n' > /etc/systemd/system/docker.service.d/hosts.conf
systemctl daemon-reload
systemctl start docker
/usr/local/sbin/start-site
echo 'nameserver 198.51.100.2' > /run/NetworkManager/resolv.conf
ln -sf ../run/NetworkManager/resolv.conf /etc/resolv.conf
`;

/** Both firewalls of the kernel's, without counters and without our own table. */
async function hostRules(): Promise<string> {
  const text = await vm.root('iptables-save; ip6tables-save; nft list tables');
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#') && line !== 'table inet rediacc')
    .map((line) => line.replace(/\[\d+:\d+\]/, ''))
    .sort()
    .join('\n');
}

/** What `up` tells of its tries (test/fixtures/hosts/shop/Rediaccfile). */
async function up(): Promise<Record<string, string>> {
  const { exitCode, stderr } = await desk.rdc('repo up shop');
  expect(exitCode, stderr).toBe(0);
  const tries = [...stderr.matchAll(/([a-z-]+) (REACHED|blocked)$/gm)];
  return Object.fromEntries(tries.map(([, name, verdict]) => [name ?? '', verdict ?? '']));
}

const OUTBOUND = { function: 'REACHED', container: 'REACHED' };

/** From the namespace and by name, without rdc: the server's answer or "". */
async function fetchInside(): Promise<string> {
  const { stdout } = await vm.ssh(
    'root',
    'nsenter --net=/run/netns/rd2816 curl -sS --max-time 20 http://pages.example.com/',
  );
  return stdout.trim();
}

/** Exit code and what is not in order, by id. */
async function doctor(): Promise<{ exitCode: number; faults: Record<string, Check> }> {
  const { exitCode, stdout } = await desk.rdc('machine doctor box --json');
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  const bad = checks.filter(({ status }) => status === 'failed' || status === 'missing');
  return { exitCode, faults: Object.fromEntries(bad.map((check) => [check.id, check])) };
}

const healthy = { exitCode: 0, faults: {} };
const fault = (found: string, fix: string) =>
  expect.objectContaining({ found: expect.stringContaining(found), fix: expect.stringContaining(fix) });

describe("the host's own docker, with a daemon.json of its own and containers", () => {
  test('a repository gets out and resolves names, and sees nothing of it', async () => {
    expect(await vm.root('iptables -S FORWARD | head -1')).toBe('-P FORWARD DROP');
    expect(await up()).toEqual({
      ...OUTBOUND,
      'function-host-data': 'blocked',
      'container-host-data': 'blocked',
      'function-host-docker': 'blocked',
    });
    // The control: all three are there on the host.
    expect(await vm.root('ls /srv/docker/containers; curl -sS --max-time 20 http://127.0.0.1:2375/version')).toMatch(
      /^[0-9a-f]{64}\n.*ApiVersion/s,
    );
  });

  test('exactly one rule is added, and the container of the host answers as before', async () => {
    const added = (await hostRules()).split('\n').filter((line) => !before.split('\n').includes(line));
    expect(added).toEqual([OUR_RULE]);
    expect(await vm.root('curl -sS --max-time 20 -o /dev/null -w "%{http_code}" http://127.0.0.1:8088/busybox')).toBe(
      '200',
    );
    expect(await doctor()).toEqual(healthy);
  });

  test('all rules flushed and forwarding off: doctor tells, a restart of docker brings back its rules and ours', async () => {
    // What the agent does about it is another test's matter (supervision.test.ts).
    await desk.done('machine supervision --off');
    await vm.root('nft flush ruleset && sysctl -qw net.ipv4.ip_forward=0');
    expect(await fetchInside()).toBe('');
    const { exitCode, faults } = await doctor();
    expect(exitCode).toBe(1);
    expect(faults).toMatchObject({
      guard: fault('the table "inet rediacc" is gone, IP forwarding is off', 'rdc repo up shop'),
      outbound: fault('"shop" gets no answer from 198.51.100.2', 'rdc repo up shop'),
    });
    await vm.root('systemctl restart docker', { timeoutMs: 600_000 });
    await vm.root(
      `for i in $(seq 200); do iptables -S DOCKER-USER | grep -q rediacc && exit 0; sleep 0.2; done; exit 1`,
    );
    expect(await fetchInside()).toBe('hello from outside');
    expect((await hostRules()).split('\n').filter((line) => line === OUR_RULE)).toHaveLength(1);
  });

  test("our rule, the guard's rules and its sources taken away: doctor names each, up puts them back", async () => {
    await vm.root(`iptables ${OUR_RULE.replace('-A', '-D')} && nft flush chain inet rediacc leaving &&
      nft flush set inet rediacc sources`);
    expect(await fetchInside()).toBe('');
    const { exitCode, faults } = await doctor();
    expect(exitCode).toBe(1);
    expect(faults.guard?.found).toBe(
      'rules of its chain "leaving" are gone or were added to, the sources of "rdh2816" are gone, the rule in DOCKER-USER is gone',
    );
    expect(await up()).toMatchObject(OUTBOUND);
    expect((await hostRules()).split('\n').filter((line) => line === OUR_RULE)).toHaveLength(1);
    expect(await doctor()).toEqual(healthy);
  });
});

describe('limits', () => {
  const docker = 'docker -H unix:///run/rediacc/docker-2816.sock exec';
  /** dd(1) takes a buffer of that size and fills it. */
  const allocate = (service: string) =>
    vm.ssh('root', `${docker} shop-${service}-1 dd if=/dev/zero of=/dev/null bs=600M count=1`);
  const killed = { exitCode: 137 };
  const throttled = async () =>
    Number(
      /nr_throttled (\d+)/.exec(
        await vm.root(`${docker} shop-probe-1 timeout 3 sh -c 'while :; do :; done'; cat ${SLICE}/cpu.stat`),
      )?.[1],
    );

  test('control: without limits a container gets what it asks for', async () => {
    expect(await desk.json('repo limits shop')).toMatchObject({ name: 'shop', memoryBytes: null, cpus: null });
    expect((await allocate('probe')).exitCode).toBe(0);
    expect(await throttled()).toBe(0);
  });

  test('are in force at once: too much memory is ended, too much time is held back', async () => {
    await desk.done('repo limits shop --memory 384M --cpus 0.5');
    expect(await vm.root(`cat ${SLICE}/memory.max ${SLICE}/memory.swap.max ${SLICE}/cpu.max`)).toBe(
      `${384 * 1024 ** 2}\n0\n50000 100000`,
    );
    expect(await allocate('probe')).toMatchObject(killed);
    expect(await throttled()).toBeGreaterThan(0);
    expect((await desk.done('repo limits shop')).split('\n')).toEqual([
      expect.stringMatching(/^memory +384M \(.* in use\)$/),
      expect.stringMatching(/^processors +0\.5$/),
    ]);
  });

  test('a privileged container cannot lift them', async () => {
    const lift = `mkdir -p /c && mount -t cgroup2 none /c && find /c -name memory.max | grep -c . &&
      for file in $(find /c -name memory.max -o -name memory.swap.max -o -name cpu.max); do echo max > $file; done`;
    const tried = await vm.ssh('root', [...docker.split(' '), 'shop-strong-1', 'sh', '-c', lift]);
    expect(Number(tried.stdout.split('\n')[0]), tried.stderr).toBeGreaterThan(0);
    expect(await allocate('strong')).toMatchObject(killed);
    expect(await vm.root(`cat ${SLICE}/memory.max ${SLICE}/cpu.max`)).toBe(`${384 * 1024 ** 2}\n50000 100000`);
  });

  test('taken away, they are gone at once, and nothing of them stays behind', async () => {
    await desk.done('repo limits shop --memory none --cpus none');
    expect(await vm.root(`cat ${SLICE}/memory.max ${SLICE}/cpu.max`)).toBe('max\nmax 100000');
    expect(await vm.root('ls /run/systemd/system.control/rediacc-2816.slice.d 2>/dev/null || true')).toBe('');
    expect((await allocate('probe')).exitCode).toBe(0);
    // For the next start, where the slice is made anew.
    await desk.done('repo limits shop --memory 512M');
  });
});

describe('names by systemd-resolved, whose stub is on the loopback of the host', () => {
  test('a repository asks the real servers, and its limits are there after a start', async () => {
    await desk.done('repo down shop --unmount');
    expect(await hostRules()).toBe(before);
    await vm.root(`systemctl stop docker.socket docker && nft flush ruleset && mkdir -p /etc/systemd/resolved.conf.d &&
      printf '[Resolve]\\nDNS=198.51.100.2\\n' > /etc/systemd/resolved.conf.d/dns.conf &&
      systemctl start systemd-resolved && ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf &&
      grep -q 'nameserver 127.0.0.53' /etc/resolv.conf`);
    expect(await up()).toMatchObject(OUTBOUND);
    expect(await vm.root(`cat ${SLICE}/memory.max`)).toBe(String(512 * 1024 ** 2));
  });

  test('also where /etc/resolv.conf is a plain file that names the stub', async () => {
    await vm.root(`rm /etc/resolv.conf && echo 'nameserver 127.0.0.53' > /etc/resolv.conf`);
    expect(await up()).toMatchObject({ function: 'REACHED' });
    // The daemon was not started anew.
    const { 'stale-names': stale } = (await doctor()).faults;
    expect(stale).toEqual(fault('"shop" was started with: 127.0.0.53', 'rdc repo down shop --unmount'));
  });

  test('another stub, which nobody outside the host can ask, is told', async () => {
    await vm.root(`systemctl stop systemd-resolved && rm -rf /run/systemd/resolve &&
      echo 'nameserver 127.0.0.1' > /etc/resolv.conf`);
    const { exitCode, faults } = await doctor();
    expect(exitCode).toBe(1);
    expect(faults['resolv-conf']).toEqual(fault('127.0.0.1', '/etc/resolv.conf'));
    await vm.root(`echo 'nameserver 198.51.100.2' > /etc/resolv.conf`);
  });
});

/** The commands that take our rule away again, as the agent would run them. */
function removal(tool: 'ufw' | 'firewalld'): string {
  const firewall = { dropping: [], hasDockerUser: false, ufw: OURS, firewalld: OURS };
  const step = removeFirewallRuleSteps().find(({ id }) => id === `firewall.${tool}-remove`);
  return (step?.actions({ firewall }) ?? []).map(describeAction).join(' && ');
}
const OURS = { active: true, hasRule: true };

describe.each([
  {
    tool: 'ufw',
    start: 'ufw allow 22/tcp && ufw --force enable',
    reload: 'ufw reload',
    stop: 'ufw --force disable',
    rules: 'ufw show added',
    ours: /^ufw route allow in on rdh\+ comment 'rediacc'$/,
  },
  {
    tool: 'firewalld',
    // Its default zone forwards among its own interfaces, so the way out is in another one.
    start:
      'systemctl start firewalld && firewall-cmd --quiet --permanent --zone=external --add-interface=out0 && firewall-cmd --quiet --reload',
    reload: 'firewall-cmd --quiet --reload',
    stop: 'systemctl stop firewalld',
    rules: `{ firewall-cmd --permanent --list-all-zones; firewall-cmd --list-all-zones; } | sed -E 's/ \\(.*\\)$//'`,
    ours: /^ {2}interfaces: rdh\+$/,
  },
] as const)('$tool', ({ tool, start, reload, stop, rules, ours }) => {
  let own: string[];
  const lines = async () => (await vm.root(rules)).split('\n');

  test('control: switched on after the setup, it lets nothing out; doctor tells, and a setup would add one rule', async () => {
    await vm.root(start, { timeoutMs: 600_000 });
    own = await lines();
    expect(await fetchInside()).toBe('');
    const { exitCode, faults } = await doctor();
    expect(exitCode).toBe(1);
    expect(faults).toMatchObject({
      firewall: fault(`${tool} drops what it does not know`, 'rdc context setup-machine box'),
      outbound: fault('gets no answer', ''),
    });
    const { plan } = await desk.json<{ plan: { id: string; expect: string }[] }>('context setup-machine box --dry-run');
    expect(plan.filter(({ expect: change }) => change === 'change').map(({ id }) => id)).toEqual([`firewall.${tool}`]);
  });

  test('up gives it one rule, which survives its reload, and the guard a flush with it', async () => {
    expect(await up()).toMatchObject(OUTBOUND);
    const added = (await lines()).filter((line) => !own.includes(line));
    expect(new Set(added).size).toBe(1);
    expect(added[0]).toMatch(ours);
    await vm.root(reload, { timeoutMs: 600_000 });
    expect(await fetchInside()).toBe('hello from outside');
    await vm.root(`nft flush ruleset && ${reload}`, { timeoutMs: 600_000 });
    expect((await doctor()).faults.guard).toBeDefined();
    expect(await up()).toMatchObject(OUTBOUND);
    // A mirror on the server itself is behind the tool's own rules for what comes in.
    const { mirror: _, ...faults } = (await doctor()).faults;
    expect(faults).toEqual({});
  });

  test('the rule taken away again leaves the tool as it was', async () => {
    await vm.root(removal(tool), { timeoutMs: 600_000 });
    expect(await lines()).toEqual(own);
    expect(await fetchInside()).toBe('');
    await vm.root(stop, { timeoutMs: 600_000 });
  });
});
