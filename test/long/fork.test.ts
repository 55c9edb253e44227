// Forks on a real machine: whole copies on ext4, shared blocks on a pool; of a repository that is written to, with both
// answering at the same time; keys; and a filesystem that is never left frozen.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

interface Status {
  guid: string;
  image: string;
  mountPoint: string;
  networkId: number;
  subnet: string;
  parent?: string;
  parentName?: string;
  services: { name: string; ip: string; state: string }[];
}

/** One that counts into a file and serves it, on its own address; one on a bridge network that starts with its daemon. */
const COMPOSE = `services:
  web:
    image: busybox
    network_mode: host
    restart: always
    command:
      - sh
      - -c
      - |
        httpd -h /data -p $$WEB_IP:8080
        while true; do i=$$((i + 1)); echo $$i >> /data/numbers; sync /data/numbers; done
    environment: { WEB_IP: "\${WEB_IP}" }
    volumes: ["/data"]
    stop_grace_period: 1s
`;

let vm: TestVm;
let desk: Desk;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

const statusOf = (name: string) => desk.json<Status>(`repo status ${name}`);
const credentialOf = async (name: string) => (await desk.done(`repo credential show ${name} --reveal`)).trim();
/** The names, of those given, whose images the key opens. */
async function openedBy(key: string, images: Record<string, string>): Promise<string[]> {
  const tries = Object.entries(images).map(
    ([name, image]) => `cryptsetup open --test-passphrase --key-file /run/key '${image}' 2>/dev/null && echo ${name}`,
  );
  const script = `umask 077; cat > /run/key; ${tries.join('; ')}; rm /run/key`;
  return (await vm.root(script, { input: key })).split('\n').filter((line) => line !== '');
}

describe('where blocks cannot be shared', () => {
  test('a closed repository is copied whole, with a warning; an open one and one without room are refused', async () => {
    await desk.done('repo create shop --size 100M');
    const { stderr } = await desk.rdc('repo fork shop --as try');
    expect(stderr).toContain('cannot share blocks');
    expect(stderr).toContain('forked as "try"');
    const [shop, fork] = [await statusOf('shop'), await statusOf('try')];
    expect(fork).toMatchObject({ parent: shop.guid, parentName: 'shop', networkId: 2880 });
    const images = { shop: shop.image, try: fork.image };
    expect(await openedBy(await credentialOf('shop'), images)).toEqual(['shop']);
    expect(await openedBy(await credentialOf('try'), images)).toEqual(['try']);
    await desk.done('repo mount shop');
    const open = await desk.rdc('repo fork shop --as other');
    expect(open).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('rdc repo down shop --unmount') });
    await desk.done('repo unmount shop');
    await vm.root('fallocate -l $(($(stat -f -c "%a * %S" /mnt/rediacc) - 70000000)) /mnt/rediacc/filler');
    expect(await desk.rdc('repo fork shop --as other')).toMatchObject({ exitCode: 13 });
    await vm.root('rm /mnt/rediacc/filler');
    expect(await vm.root('ls /mnt/rediacc/repositories | wc -l')).toBe('2');
    for (const name of ['try', 'shop']) await desk.done(`repo delete ${name} --yes`);
  });
});

describe('on a pool', () => {
  let shop: Status;
  let fork: Status;

  beforeAll(async () => {
    // What deleted repositories leave would be hidden by the pool.
    await vm.root('rm -f /mnt/rediacc/.state/retired-network-ids.json');
    await desk.done('context setup-machine box --datastore-size 3G --datastore-filesystem btrfs');
    expect(await vm.root('findmnt -no FSTYPE /mnt/rediacc')).toBe('btrfs');
    const files = join(desk.home, 'files/web');
    await mkdir(files, { recursive: true });
    await writeFile(join(files, 'docker-compose.yml'), COMPOSE);
    await writeFile(
      join(files, 'Rediaccfile'),
      'up() { renet compose -- up -d; }\ndown() { renet compose -- down; }\n',
    );
    await desk.done('repo create shop --size 1G');
    await desk.done('repo mount shop');
    await desk.done(`sync upload -r shop --local ${desk.home}/files`);
    await desk.done('repo up shop');
    shop = await statusOf('shop');
  });

  test('a running repository: frozen for a moment only, the fork starts with its data, both answer and write', async () => {
    const { frozenMs, copy, up } = await desk.json<{ frozenMs: number; copy: string; up: { outcome: string } }>(
      'repo fork shop --as try --up',
    );
    expect({ copy, outcome: up.outcome }).toEqual({ copy: 'shared', outcome: 'done' });
    expect(frozenMs).toBeGreaterThan(0);
    expect(frozenMs).toBeLessThan(10_000);
    console.log(`frozen for ${frozenMs} ms`);
    fork = await statusOf('try');
    expect(fork).toMatchObject({ parent: shop.guid, services: [{ name: 'web', state: 'running' }] });
    const [mine, theirs] = [shop.services[0]?.ip, fork.services[0]?.ip];
    expect(mine).not.toBe(theirs);
    const numbers = async (ip: string | undefined) =>
      (await vm.root(`curl -sS --fail --retry 30 --retry-all-errors --retry-delay 1 http://${ip}:8080/numbers`)).split(
        '\n',
      );
    const [before, copied] = [await numbers(mine), await numbers(theirs)];
    // The fork has what was written before the freeze without a gap, then counts anew.
    const restart = copied.lastIndexOf('1');
    expect(restart).toBeGreaterThan(0);
    const inherited = copied.slice(0, restart);
    expect(inherited).toEqual(before.slice(0, inherited.length));
    expect((await numbers(mine)).length).toBeGreaterThan(before.length);
    const docker = `docker -H unix:///run/rediacc/docker-${fork.networkId}.sock`;
    const containers = await vm.root(
      `${docker} ps -aq | xargs ${docker} inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.RestartCount}}'`,
    );
    expect(containers).toBe('always 0');
    expect(await vm.root(`ls -A ${fork.mountPoint}/.rediacc`)).not.toContain('held-containers');
  });

  test('identity: UUIDs and keys of its own, none of the parent, no key on the machine', async () => {
    const images = { shop: shop.image, try: fork.image, backup: `/mnt/rediacc/.state/${fork.guid}.luks-header` };
    expect(await openedBy(await credentialOf('shop'), images)).toEqual(['shop']);
    expect(await openedBy(await credentialOf('try'), images)).toEqual(['try', 'backup']);
    const uuids = `cryptsetup luksUUID ${fork.image}; blkid -o value -s UUID /dev/mapper/rediacc-${fork.guid}; findmnt -no UUID ${fork.mountPoint}`;
    expect((await vm.root(uuids)).split('\n')).toEqual([fork.guid, fork.guid, fork.guid]);
    expect(await vm.root('ls /mnt/rediacc/.credentials/keys')).toBe('');
    const { stdout } = await desk.rdc('repo list');
    expect(stdout).toMatch(/^shop .*\n└─ try /m);
  });

  describe('frozen', () => {
    /** A write into the parent, left waiting; it tells when it is through. */
    const writeSoon = () =>
      vm.root(`rm -f /run/written; (touch ${shop.mountPoint}/x && touch /run/written) >/dev/null 2>&1 &`);
    const isWritten = async () => (await vm.ssh('root', 'test -e /run/written')).exitCode === 0;

    test('a copy that never ends and an agent that is killed: thawed within 10 s, and the next attempt works', async () => {
      // Stands in for a disk that hangs: only the clone under the freeze is held up.
      const slow =
        '#!/bin/sh\ncase "$*" in *probe*) ;; *reflink=always*) date +%s >/run/frozen; sleep 300 ;; esac\nexec /usr/bin/cp "$@"\n';
      await vm.root('cat > /usr/local/sbin/cp; chmod 755 /usr/local/sbin/cp', { input: slow });
      const { ended, said } = desk.start('repo fork shop --as slow');
      const script = `until test -e /run/frozen; do sleep 0.2; done
        (touch ${shop.mountPoint}/x; date +%s > /run/thawed) & sleep 1
        test -e /run/thawed && echo 'it was not frozen'
        kill -9 $(systemctl show -p MainPID --value rediacc-agent)
        wait; echo $(($(cat /run/thawed) - $(cat /run/frozen)))`;
      const seconds = await vm.root(script);
      await vm.root('rm /usr/local/sbin/cp');
      expect(Number(seconds), seconds).toBeLessThanOrEqual(11);
      expect(Number(seconds), seconds).toBeGreaterThanOrEqual(6);
      expect(await ended, said()).toBe(1);
      expect(said()).toContain('was interrupted');
      await desk.done('repo fork shop --as slow');
      expect(await openedBy(await credentialOf('slow'), { slow: (await statusOf('slow')).image })).toEqual(['slow']);
      // Of the first attempt nothing is left.
      expect(await vm.root('ls /mnt/rediacc/repositories | wc -l; ls /run/rediacc | grep -c freeze || true')).toBe(
        '3\n0',
      );
    });

    test('by somebody else: refused and left as it is; control: without our unit nothing thaws it', async () => {
      await vm.root(`fsfreeze --freeze ${shop.mountPoint}`);
      await writeSoon();
      try {
        const refused = await desk.rdc('repo fork shop --as other');
        expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('frozen already') });
        await vm.root('sleep 11');
        expect(await isWritten()).toBe(false);
      } finally {
        await vm.root(`fsfreeze --unfreeze ${shop.mountPoint}`);
      }
      await vm.root('until test -e /run/written; do sleep 0.2; done');
    });
  });

  test('a taken name, and a parent that is deleted: its forks go on', async () => {
    expect(await desk.rdc('repo fork shop --as try')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('"try"'),
    });
    await desk.done('repo delete shop --yes');
    expect((await desk.rdc('repo list')).stdout).toContain('try (fork of a deleted one)');
    expect((await statusOf('try')).parentName).toBeUndefined();
    await vm.root(`curl -sS --fail http://${fork.services[0]?.ip}:8080/numbers`);
    await desk.done('repo mount slow');
  });

  test('--reencrypt: a master key of its own', async () => {
    await desk.done('repo create small --size 64M');
    await desk.done('repo fork small --as apart --reencrypt');
    const digest = async (name: string) =>
      vm.root(
        `cryptsetup luksDump --dump-json-metadata ${(await statusOf(name)).image} | jq -r '.digests["0"].digest // (.digests | to_entries[0].value.digest)'`,
      );
    await desk.done('repo fork small --as same');
    expect(await digest('same')).toBe(await digest('small'));
    expect(await digest('apart')).not.toBe(await digest('small'));
    await desk.done('repo mount apart');
  });

  test('--reencrypt, its cryptsetup and the agent killed in the middle: the same command finishes it, and nothing is left', async () => {
    await desk.done('repo create large --size 512M');
    await desk.done('repo mount large');
    const large = await statusOf('large');
    await vm.root(`head -c 50M /dev/urandom >${large.mountPoint}/kept; sync`);
    const sum = (await vm.root(`sha256sum <${large.mountPoint}/kept`)).split(' ')[0];
    await desk.done('repo unmount large');
    const command = 'repo fork large --as anew --reencrypt';
    const first = desk.start(command);
    const progress = 'grep -o online-reencrypt <(cryptsetup luksDump --dump-json-metadata $image)';
    await vm.root(`until pid=$(pgrep -f '[c]ryptsetup reencrypt'); do sleep 0.1; done
      image=$(tr '\\0' '\\n' </proc/$pid/cmdline | tail -1)
      until ${progress}; do sleep 0.2; done
      # Not while it reads: what it has half written then has to be recovered before anything goes on.
      until awk '/^write_bytes/ { exit !($2 > 30000000) }' /proc/$pid/io; do sleep 0.2; done
      kill -9 $pid $(systemctl show -p MainPID --value rediacc-agent)`);
    expect(await first.ended).not.toBe(0);
    // Control: it was in the middle.
    const { image, mountPoint } = await statusOf('anew');
    const resume = `loop=$(losetup --find --show ${image}); cryptsetup reencrypt --resume-only --key-file - $loop; losetup --detach $loop`;
    const credential = (await desk.done('repo credential show anew --reveal')).trim();
    expect((await vm.ssh('root', resume, { input: credential })).stderr).toContain('requires reencryption recovery');
    expect(await desk.rdc('repo resize anew --size 1G')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('has to be finished before a resize'),
    });
    await desk.done(command);
    expect((await vm.ssh('root', `image=${image}; ${progress}`)).exitCode).toBe(1);
    expect(await vm.root(`ls -l /mnt/rediacc/.state/*.luks-header | wc -l`)).toBe(
      await vm.root('ls /mnt/rediacc/repositories | wc -l'),
    );
    expect(await vm.root('ls /dev/mapper')).not.toContain('temporary-cryptsetup');
    expect(await vm.root(`losetup --list --noheadings | grep -c ${image} || true`)).toBe('0');
    await desk.done('repo mount anew');
    expect((await vm.root(`sha256sum <${mountPoint}/kept`)).split(' ')[0]).toBe(sum);
  });
});
