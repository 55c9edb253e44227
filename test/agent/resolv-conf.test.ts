// Which name servers a repository is given, for the ways in which hosts arrange /etc/resolv.conf.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { nameServers, observeResolvConf } from '../../src/agent/resolv-conf.ts';
import type { System } from '../../src/lifecycle/system.ts';

const PLAIN = 'search example.com\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n';
const STUB = 'nameserver 127.0.0.53\noptions edns0 trust-ad\n';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'resolv-conf-'));
});
afterEach(() => rm(root, { recursive: true }));

/** The real files and links of a directory that stands for "/". */
function hostAt(): System {
  const real = createLinuxSystem();
  const out = (path: string) => path.replace(root, '');
  return {
    ...real,
    readFile: (path) => real.readFile(root + path),
    stat: (path) => real.stat(root + path),
    async run({ args, ...command }) {
      const result = await real.run({
        ...command,
        args: args.map((word) => (word.startsWith('/') ? root + word : word)),
      });
      return { ...result, stdout: out(result.stdout) };
    },
  };
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(root + path), { recursive: true });
  await writeFile(root + path, text);
}

async function link(target: string): Promise<void> {
  await mkdir(`${root}/etc`, { recursive: true });
  await symlink(target, `${root}/etc/resolv.conf`);
}

test('a plain file serves as it is', async () => {
  await put('/etc/resolv.conf', PLAIN);
  expect(await observeResolvConf(hostAt())).toBeUndefined();
  expect(await nameServers(hostAt())).toEqual(['192.0.2.53', '2001:db8::53']);
});

test('a plain file that names the stub is replaced by the real servers', async () => {
  await put('/etc/resolv.conf', STUB);
  await put('/run/systemd/resolve/resolv.conf', PLAIN);
  const found = { source: '/run/systemd/resolve/resolv.conf', place: '/etc/resolv.conf' };
  expect(await observeResolvConf(hostAt())).toEqual(found);
  expect(await nameServers(hostAt())).toEqual(['192.0.2.53', '2001:db8::53']);
});

test.each(['../run/systemd/resolve/stub-resolv.conf', '/run/systemd/resolve/stub-resolv.conf'])(
  'a link to the stub file (%s): the real servers, where the link leads to',
  async (target) => {
    await put('/run/systemd/resolve/stub-resolv.conf', STUB);
    await put('/run/systemd/resolve/resolv.conf', PLAIN);
    // An absolute target is below the directory that stands for "/".
    await link(target.startsWith('/') ? root + target : target);
    const found = {
      source: '/run/systemd/resolve/resolv.conf',
      place: '/run/systemd/resolve/stub-resolv.conf',
    };
    expect(await observeResolvConf(hostAt())).toEqual(found);
  },
);

test('a link below /run, as NetworkManager makes it: the file is put back, since /run is hidden', async () => {
  await put('/run/NetworkManager/resolv.conf', PLAIN);
  await link('../run/NetworkManager/resolv.conf');
  const found = { source: '/run/NetworkManager/resolv.conf', place: '/run/NetworkManager/resolv.conf' };
  expect(await observeResolvConf(hostAt())).toEqual(found);
});

test('a stub of another kind, a dangling link, no file: nothing to put in its place', async () => {
  await put('/etc/resolv.conf', 'nameserver 127.0.0.1\n');
  expect(await observeResolvConf(hostAt())).toBeUndefined();
  expect(await nameServers(hostAt())).toEqual(['127.0.0.1']);
  await rm(`${root}/etc/resolv.conf`);
  expect(await observeResolvConf(hostAt())).toBeUndefined();
  await link('../run/nothing/resolv.conf');
  expect(await observeResolvConf(hostAt())).toBeUndefined();
  expect(await nameServers(hostAt())).toEqual([]);
});
