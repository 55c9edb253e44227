// Two repositories on one machine, one attacks the other and the host. Every try must fail, and every try must work where
// what guards against it is taken away: a tool that is missing, or a path that is wrong, fails the test.
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Desk } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/isolation', import.meta.url));

interface Repo {
  guid: string;
  networkId: number;
  mountPoint: string;
  image: string;
  dockerSocket: string;
  volume: { mapping: string };
  services: { name: string; ip: string }[];
}

let vm: TestVm;
let desk: Desk;
let attacker: Repo;
let victim: Repo;
/** What the function of the attacker printed while everything guarded. */
let fromFunction: string;

const status = (name: string) => desk.json<Repo>(`repo status ${name}`);
const inside = ({ networkId }: Repo, command: string) => vm.root(`ip netns exec rd${networkId} ${command}`);
const fromContainer = (service: string, words: string) =>
  vm.root(
    `docker -H unix://${attacker.dockerSocket} exec attacker-${service}-1 chroot /x bash ${attacker.mountPoint}/${words}`,
    { timeoutMs: 600_000 },
  );

/** "NAME blocked" and "NAME REACHED", wherever in the lines. */
function verdicts(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/([a-z0-9-]+) (REACHED|blocked)$/gm)].map(([, name, verdict]) => [name ?? '', verdict ?? '']),
  );
}
const reached = (text: string) =>
  Object.entries(verdicts(text)).flatMap(([name, verdict]) => (verdict === 'REACHED' ? [name] : []));

/**
 * A network behind the machine: what is outside, over IPv4 and IPv6, and where a cloud has its metadata, by a route of its own: in the control
 * the attacker's router advertisement takes the default route.
 */
const makeOutside = () =>
  vm.root(`ip netns add outside && ip link add out0 type veth peer name eth0 netns outside &&
    ip address add 169.254.169.253/30 dev out0 && ip address add 198.51.100.1/24 dev out0 && ip link set out0 up &&
    ip address add 2001:db8:1::1/64 dev out0 nodad && ip -n outside link set lo up && ip -n outside link set eth0 up &&
    ip -n outside address add 169.254.169.254/30 dev eth0 && ip -n outside address add 198.51.100.2/24 dev eth0 &&
    ip -n outside address add 2001:db8:1::2/64 dev eth0 nodad && ip -n outside address add fd00:ec2::254/128 dev eth0 nodad &&
    ip -n outside route add default via 198.51.100.1 && ip -n outside route add default via 2001:db8:1::1 &&
    ip route add default via 2001:db8:1::2 && ip route add fd00:ec2::254 via 2001:db8:1::2 &&
    systemd-run --quiet --unit=outside ip netns exec outside busybox httpd -f -p '[::]:80' -h /usr/share`);

/** Worst case for the guard: routes to what is behind the victim's namespace, and a docker that lets everything in. */
async function makeTargets(): Promise<Record<string, string>> {
  const address = victim.services.find(({ name }) => name === 'site')?.ip ?? '';
  const link = await inside(victim, "ip -4 -o address show rd0 | grep -oP 'inet \\K[0-9.]+'");
  const hostLink = await vm.root(`ip -4 -o address show rdh${attacker.networkId} | grep -oP 'inet \\K[0-9.]+'`);
  await vm.root(`ip route add 172.31.77.0/24 via ${link} dev rdh${victim.networkId} onlink`);
  await inside(victim, 'iptables -I FORWARD -j ACCEPT');
  await vm.root(
    `systemd-run --quiet --unit=site6 ip netns exec rd${victim.networkId} busybox httpd -f -p '[::]:8003' -h /usr/share`,
  );
  // The host's end of the link with an address, and with an ear for routers; an address of the attacker's own there.
  await vm.root(
    `ip address add fe80::1/64 dev rdh${attacker.networkId} nodad && sysctl -qw net.ipv6.conf.rdh${attacker.networkId}.accept_ra=2`,
  );
  await inside(attacker, 'ip address add fe80::2/64 dev rd0 nodad');
  await vm.root('systemctl start docker');
  const listener = `socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, pack_sockaddr_un("\\0rdc-isolation")); listen($s, 9); sleep`;
  await vm.root(['systemd-run', '--quiet', '--unit=abstract', 'perl', '-MSocket', '-e', listener]);
  const handle = `my $h = pack("Ii", 128, 0) . "\\0" x 128; my $m = pack("i", 0); my $p = $ARGV[0];
    syscall(303, -100, $p, $h, $m, 0) == 0 or die; print unpack("H*", substr($h, 0, 8 + unpack("I", $h)))`;
  const { datastore } = JSON.parse(await vm.root('cat /etc/rediacc/machine.json')) as { datastore: string };
  const keyFile = `${datastore}/.credentials/keys/${victim.guid}.key`;
  await vm.root(`mkdir -p ${datastore}/.credentials/keys && echo key > ${keyFile}`);
  return {
    ADDRESS: address,
    LINK: link,
    HOST_LINK: hostLink,
    HOST_ADDRESS6: '2001:db8:1::1',
    ADDRESS6: await inside(victim, "ip -6 -o address show rd0 | grep -oP 'inet6 \\Kfd[0-9a-f:]+'"),
    HOST_ADDRESS: await vm.root("ip -4 -o route get 192.0.2.1 | grep -oP 'src \\K[0-9.]+'"),
    MOUNT: victim.mountPoint,
    IMAGE: victim.image,
    KEYFILE: keyFile,
    RECORD: `${datastore}/.state/${victim.guid}.json`,
    MAPPING: victim.volume.mapping,
    DOCKER_SOCKET: victim.dockerSocket,
    HOST_DOCKER_ID: await vm.root("docker info --format '{{.ID}}'"),
    PID: await vm.root("pgrep -of 'httpd -f -p 8000'"),
    HANDLE: await vm.root(['perl', '-e', handle, victim.image]),
    SLICE: `/sys/fs/cgroup/rediacc.slice/rediacc-${attacker.networkId}.slice`,
    OTHER_SLICE: `/sys/fs/cgroup/rediacc.slice/rediacc-${victim.networkId}.slice`,
  };
}

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await makeOutside();
  const files = join(desk.home, 'attacker');
  await cp(join(FIXTURES, 'attacker'), files, { recursive: true });
  const attacks = ['attack-files.sh', 'attack-network.sh'];
  for (const file of attacks) await rm(join(files, file));
  for (const name of ['victim', 'attacker']) await desk.done(`repo create ${name} --size 150M`);
  await desk.done('repo mount victim');
  await desk.done(`sync upload -r victim --local ${join(FIXTURES, 'victim')}`);
  await desk.done('repo up victim');
  await desk.done('repo mount attacker');
  await desk.done(`sync upload -r attacker --local ${files}`);
  await desk.done('repo up attacker');
  [victim, attacker] = [await status('victim'), await status('attacker')];
  const targets = await makeTargets();
  await writeFile(
    join(files, 'victim.env'),
    Object.entries(targets)
      .map((pair) => `${pair.join("='")}'\n`)
      .join(''),
  );
  for (const file of attacks) await cp(join(FIXTURES, 'attacker', file), join(files, file));
  await desk.done(`sync upload -r attacker --local ${files}`);
  const again = await desk.rdc('repo up attacker');
  fromFunction = again.stderr;
}, 1_200_000);
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test('the victim came up by renet compose and renet wait, with labels and addresses', async () => {
  const labels = await vm.root(
    `docker -H unix://${victim.dockerSocket} inspect victim-site-1 --format '{{json .Config.Labels}}{{json .HostConfig.ExtraHosts}}'`,
  );
  const ip = victim.services.find(({ name }) => name === 'site')?.ip ?? '';
  expect(labels).toContain(`"rediacc.service_name":"site"`);
  expect(labels).toContain(`"rediacc.service_ip":"${ip}"`);
  expect(labels).toContain(`"rediacc.network_id":"${victim.networkId}"`);
  expect(labels).toMatch(/"bridged:127\.0\.11\.\d+"/);
});

test('a user of the host comes to no file of an open volume; control: to what the modes of the datastore let through', async () => {
  const file = `${victim.mountPoint}/Rediaccfile`;
  const read = (path: string) => vm.ssh('root', `chmod 644 ${file}; runuser -u nobody -- cat ${path}`);
  expect((await read(file)).stderr).toContain('Permission denied');
  await vm.root('chmod 711 /mnt/rediacc/repos');
  expect((await read(file)).stdout).toContain('up()');
  await vm.root('chmod 700 /mnt/rediacc/repos');
});

test('the host reaches the services of both', async () => {
  const ip = victim.services.find(({ name }) => name === 'site')?.ip;
  for (const port of [8000, 8002])
    expect(await vm.root(`curl -sS --fail --max-time 20 http://${ip}:${port}/`)).toContain('the secret of the victim');
});

describe('files, devices, sockets and processes', () => {
  test('a function reaches nothing', () => {
    const tries = verdicts(fromFunction);
    expect(Object.keys(tries).length).toBeGreaterThan(20);
    expect(reached(fromFunction)).toEqual([]);
  });

  test.each(['bridge', 'host'])(
    'a container with a bind of "/" and more rights (%s) reaches nothing',
    async (service) => {
      const text = await fromContainer(service, 'attack-files.sh');
      expect(Object.keys(verdicts(text)).length).toBeGreaterThan(20);
      expect(reached(text)).toEqual([]);
    },
  );

  test('control: where nothing guards, every try works', async () => {
    const text = await vm.root(`bash ${attacker.mountPoint}/attack-files.sh`, { timeoutMs: 600_000 });
    expect(Object.entries(verdicts(text)).filter(([, verdict]) => verdict !== 'REACHED')).toEqual([]);
    expect(Object.keys(verdicts(text)).length).toBeGreaterThan(20);
  });
});

describe('the network', () => {
  /** Starts to listen for packets with sources that are nobody's, and for what is sent to all on the link. */
  const listen = () =>
    vm.root(`ear() { systemctl stop $1 2>/dev/null; rm -f /tmp/$1; systemd-run --quiet --unit=$1 --collect --property=StandardOutput=file:/tmp/$1 "\${@:2}"; }
      ear spoofed ip netns exec outside nc -4 -u -l 9999; ear spoofed6 ip netns exec outside nc -6 -u -l 9999; ear to-all nc -6 -u -l 547
      for i in 1 2 3 4 5 6 7 8 9 10; do
      test $(ip netns exec outside ss -lun | grep -c :9999) = 2 && ss -lun | grep -q :547 && exit 0; sleep 0.3; done; exit 1`);
  /** What has come in by these, who routes for the host by the attacker's word, and what its table of neighbours has from the attacker. */
  const arrived = async () => {
    const link = `rdh${attacker.networkId}`;
    const text = await vm.root(`cat /tmp/spoofed /tmp/spoofed6 /tmp/to-all
      ip -6 route show default dev ${link} | grep -o 'via fe80::2' | sort -u; ip -6 neigh show dev ${link} | grep -o '^fe80::2'; true`);
    return text.split('\n').filter((line) => line !== '');
  };
  const all = async () => ({
    bridge: await fromContainer('bridge', 'attack-network.sh bridge'),
    host: await fromContainer('host', 'attack-network.sh host'),
    function: await vm.root(
      `nsenter --net=/run/netns/rd${attacker.networkId} bash ${attacker.mountPoint}/attack-network.sh function`,
    ),
  });

  test('nothing of another repository or of the host is reached', async () => {
    await listen();
    for (const [origin, text] of Object.entries(await all())) {
      expect(Object.keys(verdicts(text)).length, origin).toBeGreaterThan(4);
      expect(reached(text), origin).toEqual([]);
    }
    expect(await arrived()).toEqual([]);
  });

  test('the network outside is reached, over IPv6 as well: from a function, in the namespace and on a bridge', async () => {
    const reach = "'exec 3<>/dev/tcp/2001:db8:1::2/80 4<>/dev/tcp/198.51.100.2/80 && echo out'";
    const from = (service: string) =>
      vm.root(`docker -H unix://${attacker.dockerSocket} exec attacker-${service}-1 chroot /x bash -c ${reach}`);
    const said = [await from('bridge'), await from('host'), await inside(attacker, `bash -c ${reach}`)];
    expect(said).toEqual(['out', 'out', 'out']);
  });

  test('an address of another repository, taken as one’s own, is answered by its owner all the same', async () => {
    const ip = victim.services.find(({ name }) => name === 'site')?.ip ?? '';
    const docker = `docker -H unix://${attacker.dockerSocket} exec`;
    await vm.root(
      `${docker} attacker-host-1 sh -c 'mkdir -p /evil && echo stolen > /evil/index.html && ip address add ${ip}/32 dev lo'`,
    );
    await vm.root(`${docker} -d attacker-host-1 httpd -f -p ${ip}:8000 -h /evil`);
    expect(await vm.root(`curl -sS --max-time 20 http://${ip}:8000/`)).toContain('the secret of the victim');
    // The control: what leads the host to the right one is its route, and what keeps the other silent is the guard.
    const link = await inside(attacker, "ip -4 -o address show rd0 | grep -oP 'inet \\K[0-9.]+'");
    const route = `${ip}/32 via ${link} dev rdh${attacker.networkId} table local`;
    const source = `inet rediacc sources '{ "rdh${attacker.networkId}" . ${ip} }'`;
    await vm.root(`ip route add ${route} && nft add element ${source}`);
    expect(await vm.root(`curl -sS --max-time 20 http://${ip}:8000/`)).toContain('stolen');
    await vm.root(
      `ip route del ${route}; nft delete element ${source}; ${docker} attacker-host-1 ip address del ${ip}/32 dev lo`,
    );
  });

  test('control: without the guard every try works', async () => {
    await desk.done('machine supervision --off');
    await vm.root('nft delete table inet rediacc');
    await listen();
    for (const [origin, text] of Object.entries(await all())) {
      expect(
        Object.entries(verdicts(text)).filter(([, verdict]) => verdict !== 'REACHED'),
        origin,
      ).toEqual([]);
    }
    expect(await arrived()).toEqual(['spoofed', 'spoofed6', 'to-all', 'via fe80::2', 'fe80::2']);
    await vm.root('systemctl reload rediacc-guard');
  });
});
