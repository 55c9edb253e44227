// The main job on an ordinary server that was never set up before: its own docker runs with a container of its own,
// it has no Node, and the person is "deploy" with sudo. The commands are those of the original page's complete example.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ExecResult } from '../../src/cli/playground/exec.ts';
import { DATASTORE, FILES, RECORD, SUDO_LINE } from '../scenarios/setup.ts';
import { type Desk, EXAMPLES, openDesk } from './desk.ts';
import { kindsOf, remainsOf, type Subject } from './remains.ts';
import { startTestVm, type TestVm } from './vm.ts';

const MARKER = 'a-row-that-only-this-test-has-written';
const EVERY_KIND = ['drop-in', 'link', 'loop', 'mapping', 'mount', 'namespace', 'process', 'route', 'rule', 'socket'];

interface Status {
  guid: string;
  image: string;
  mountPoint: string;
  volume: { mapping: string };
  services: { name: string; ip: string; state: string }[];
}

let vm: TestVm;
let desk: Desk;
let hostDocker: string;
let hostRules: string;

/** What the server had of its own before us. */
async function ownDocker(): Promise<string> {
  return vm.root(
    "docker inspect site --format '{{.Id}} {{.State.StartedAt}}'; systemctl show -p MainPID --value docker",
  );
}
async function ownRules(): Promise<string> {
  const text = await vm.root(
    "nft list ruleset | sed '/^table inet rediacc/,/^}/d' | sed 's/counter packets [0-9]* bytes [0-9]*//'",
  );
  return text.replace(/^[^\n]*rediacc[^\n]*\n/gm, '');
}
const fetched = (url: string) =>
  vm.root(`curl -sS --fail --retry 60 --retry-all-errors --retry-delay 1 --max-time 20 ${url}`);
/** Reads what is allocated of the image, in it or in the open mapping: 10 GiB of holes would take minutes. */
function found(image: string, mapping?: string): Promise<ExecResult> {
  // The encrypted data begin 16 MiB into the image: 4096 blocks of 4096 bytes.
  const [source, skipped] = mapping === undefined ? [image, 0] : [mapping, 4096];
  return vm.ssh(
    'root',
    `filefrag -b4096 -e '${image}' | awk -F'[ .:]+' '/^ *[0-9]+:/ && $3 >= ${skipped} {print $3 - ${skipped}, $7}' |
     while read start length; do dd if='${source}' bs=4096 skip=$start count=$length status=none; done |
     LC_ALL=C tr '\\0' '\\n' | LC_ALL=C grep -aF '${MARKER}' | head -c 1 | grep -q .`,
  );
}
const statusOf = (name: string) => desk.json<Status>(`repo status ${name} -m prod-1`);

beforeAll(async () => {
  vm = await startTestVm({ flavour: 'server' });
  desk = await openDesk(vm);
  await vm.root(
    "systemctl is-system-running --wait; until docker inspect site --format '{{.State.Running}}' | grep true; do sleep 1; done",
  );
  hostDocker = await ownDocker();
  hostRules = await ownRules();
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test('the server is an ordinary one: docker and logind of its own, no Node, nothing of ours', async () => {
  await vm.root('systemctl is-active docker containerd systemd-logind && systemctl is-enabled docker containerd');
  expect((await vm.ssh('root', 'command -v node nodejs renet')).stdout).toBe('');
  expect(await fetched('http://127.0.0.1:8088/busybox')).toBeDefined();
});

describe('the complete example', () => {
  let subject: Subject;
  let status: Status;
  let credential: string;

  test('a context and a machine, whose host key is shown and pinned', async () => {
    await desk.done('context create-local production --ssh-key ~/.ssh/id_ed25519');
    const added = await desk.rdc(`context add-machine prod-1 --ip ${vm.sshHost} --user deploy --port ${vm.sshPort}`);
    expect(added).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('SHA256:') });
    const config = JSON.parse(await readFile(join(desk.home, '.config/rediacc/config.json'), 'utf8'));
    expect(config.contexts.production.machines['prod-1'].hostKeys).toEqual(vm.hostKeys);
  });

  test('a dry run of the setup changes nothing', async () => {
    const places = '/etc /mnt /opt /run /tmp /usr/bin /usr/lib /usr/local /var';
    const ours = `find ${places} -xdev -maxdepth 3 -path '*rediacc*' -o -name 'renet*'`;
    const before = await vm.root(ours);
    await desk.done('context setup-machine prod-1 --dry-run');
    expect(await vm.root(ours)).toBe(before);
  });

  test('the setup brings what is missing, and once more changes nothing', async () => {
    await desk.done(`context setup-machine prod-1 --registry-mirror ${vm.registryMirror}`);
    const again = await desk.json<{ changed: boolean }>(
      `context setup-machine prod-1 --registry-mirror ${vm.registryMirror}`,
    );
    expect(again.changed).toBe(false);
    const tree = await vm.root(
      "find /mnt/rediacc ! -name lost+found \\( -type d -printf '%m directory %p\\n' -o -printf '%m file %p\\n' \\) | LC_ALL=C sort",
    );
    expect(tree.split('\n')).toEqual(DATASTORE);
    const paths = FILES.map((line) => line.split(' ')[1]).join(' ');
    expect((await vm.root(`stat -c '%a %n' ${paths}`)).split('\n')).toEqual(FILES);
    expect(await vm.root('cat /etc/sudoers.d/rediacc')).toContain(`\n${SUDO_LINE}`);
    expect(JSON.parse(await vm.root('cat /etc/rediacc/machine.json'))).toMatchObject(RECORD);
  });

  test('an encrypted repository: LUKS2 as promised, one key, sparse, for root only', async () => {
    const created = await desk.rdc('repo create webapp -m prod-1 --size 10G');
    expect(created).toMatchObject({ exitCode: 0 });
    await desk.done('repo mount webapp -m prod-1');
    status = await statusOf('webapp');
    subject = { guid: status.guid, networkId: 2816 };
    const stored = JSON.parse(await readFile(join(desk.home, '.config/rediacc/credentials.json'), 'utf8'));
    credential = stored.credentials[status.guid].value;
    expect(credential.length).toBeGreaterThan(40);
    expect(created.stdout + created.stderr).not.toContain(credential);
    const header = await vm.root(`cryptsetup luksDump ${status.image}`);
    expect(header).toMatch(/Version:\s+2\n/);
    expect(header).toMatch(/cipher: aes-xts-plain64\n\s+sector: 4096/);
    expect(header).toMatch(/Key: {8}512 bits/);
    expect(header.match(/^ {2}\d+: luks2$/gm)).toEqual(['  0: luks2']);
    expect(await vm.root(`stat -c '%a %U %s' ${status.image}`)).toBe(`600 root ${10 * 1024 ** 3}`);
    expect(Number(await vm.root(`stat -c %b ${status.image}`)) * 512).toBeLessThan(300 * 1024 ** 2);
  });

  test('files go in, services come up, each on its own address as seen from the server', async () => {
    await desk.done(`sync upload -m prod-1 -r webapp --local ${EXAMPLES}/webapp`);
    await desk.done('repo up webapp -m prod-1');
    status = await statusOf('webapp');
    const addresses = Object.fromEntries(status.services.map(({ name, ip }) => [name, ip]));
    expect(addresses).toEqual({ postgres: '127.0.11.2', redis: '127.0.11.3', api: '127.0.11.4' });
    expect(JSON.parse(await fetched('http://127.0.11.4:8080/'))).toEqual({
      message: 'Hello from PostgreSQL',
      visits: 1,
    });
    await vm.root("timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.11.2/5432'");
    expect(
      await vm.root("timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.11.3/6379; printf PING\\\\r\\\\n >&3; head -c5 <&3'"),
    ).toBe('+PONG');
  });

  test("docker's own data lies inside the volume, its socket where users look for it", async () => {
    const docker = 'docker -H unix:///run/rediacc/docker-2816.sock';
    expect(await vm.root(`${docker} info --format '{{.DockerRootDir}}'`)).toBe(`${status.mountPoint}/.rediacc/docker`);
    expect(await vm.root(`${docker} ps --quiet | wc -l`)).toBe('3');
  });

  test("the server's own docker and firewall are as they were", async () => {
    expect(await ownDocker()).toBe(hostDocker);
    // Its firewall drops what is forwarded: one tagged rule of ours, in the place that docker keeps for others.
    const ours = /^.*meta mark 0x72646163.*\n/gm;
    const rules = await ownRules();
    expect(rules.match(ours)).toHaveLength(1);
    expect(rules.replace(ours, '')).toBe(hostRules);
    expect(await fetched('http://127.0.0.1:8088/busybox')).toBeDefined();
  });

  test('the agent takes little memory when idle', async () => {
    const rss = await vm.root('grep VmRSS /proc/$(systemctl show -p MainPID --value rediacc-agent)/status');
    console.log(`idle agent: ${rss}`);
    expect(Number(/\d+/.exec(rss)?.[0])).toBeLessThan(80 * 1024);
  });

  test('closed, nothing is left on the server, and what was written cannot be read', async () => {
    await fetched(`-X POST -H content-type:application/json -d '{"text":"${MARKER}"}' http://127.0.11.4:8080/notes`);
    // The control: each kind of thing is there, or its absence would prove nothing.
    expect([...kindsOf(await remainsOf(vm, subject))].sort()).toEqual(expect.arrayContaining(EVERY_KIND));
    await vm.root('sync');
    expect((await found(status.image, status.volume.mapping)).exitCode).toBe(0);
    await desk.done('repo down webapp -m prod-1 --unmount');
    expect(await remainsOf(vm, subject)).toEqual([]);
    expect((await found(status.image)).exitCode).toBe(1);
  });

  test('open again, the row and the counter are still there', async () => {
    await desk.done('repo up webapp -m prod-1 --mount');
    expect(await fetched('http://127.0.11.4:8080/notes')).toContain(MARKER);
    expect(JSON.parse(await fetched('http://127.0.11.4:8080/')).visits).toBe(2);
  });

  test('the credential is nowhere on the server', async () => {
    const places = '/var/lib/rediacc /var/log /run/rediacc /etc/rediacc /run/systemd /tmp /root';
    const grep = (word: string) =>
      vm.ssh('root', `grep -rlF -- '${word}' ${places}; journalctl --no-pager | grep -cF -- '${word}'`);
    expect((await grep(credential)).stdout).toBe('0');
    // The control: the search finds what is there.
    await vm.root(`echo '${MARKER}' > /tmp/control; logger '${MARKER}'; journalctl --sync`);
    expect((await grep(MARKER)).stdout).toMatch(/\/tmp\/control\n[1-9]/);
  });
});
