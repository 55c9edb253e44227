// First installation and the temporary agent on a real sshd, under a directory instead of /usr.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { AGENT_LAUNCHER, SUDOERS_FILE as LAYOUT_SUDOERS, LIB_DIR } from '../../../src/agent/layout.ts';
import { AGENT_PLACE } from '../../../src/cli/ssh/access.ts';
import { connectAgent } from '../../../src/cli/ssh/agent-connect.ts';
import { installAgent, openTemporaryAgent } from '../../../src/cli/ssh/agent-install.ts';
import { BootstrapSession } from '../../../src/cli/ssh/bootstrap-session.ts';
import { openSshTransport } from '../../../src/cli/ssh/openssh.ts';
import { SUDOERS_FILE } from '../../../src/cli/ssh/remote-failure.ts';
import { fakeAgent } from './fake-agent-bundle.ts';
import { emptyInstallation, type Installation } from './installation.ts';
import { startSshd, type TestSshd } from './sshd.ts';

let sshd: TestSshd;
let at: Installation;
beforeAll(async () => {
  sshd = await startSshd('MaxSessions 1');
});
afterAll(() => sshd.stop());
beforeEach(() => {
  at = emptyInstallation(sshd);
});
afterEach(() => at.remove());

test('paths agree with the agent', () => {
  expect(AGENT_PLACE).toEqual({ launcher: AGENT_LAUNCHER, libDir: LIB_DIR });
  expect(SUDOERS_FILE).toBe(LAYOUT_SUDOERS);
});

test('a machine without the agent is not set up', async () => {
  await expect(connectAgent(at.access(await fakeAgent('0.1.0')))).rejects.toMatchObject({
    code: 'NOT_SET_UP',
    message: 'machine "prod-1" is not set up',
    hint: 'rdc context setup-machine prod-1',
  });
});

test('the first installation ends in a session with the agent; the second changes nothing', async () => {
  const bundle = await fakeAgent('0.1.0');
  const first = await installAgent(at.access(bundle));
  expect(first.hello).toMatchObject({ version: '0.1.0', bundle: bundle.sha256 });
  expect(await first.call('run.list', {})).toEqual({ runs: [] });
  await first.close();
  expect(at.steps()).toEqual(['installing the agent 0.1.0 on "prod-1"']);
  expect(readlinkSync(join(at.libDir, 'current'))).toBe(`versions/0.1.0-${bundle.sha256.slice(0, 8)}`);
  expect(readdirSync(at.libDir).sort()).toEqual(['current', 'units', 'versions']);
  const written = readFileSync(at.launcher, 'utf8');

  at.events.length = 0;
  await (await installAgent(at.access(bundle))).close();
  await (await connectAgent(at.access(bundle))).close();
  expect(at.events).toEqual([]);
  expect(readFileSync(at.launcher, 'utf8')).toBe(written);
  expect(readFileSync(join(at.libDir, 'units'), 'utf8')).toBe('0.1.0 before it: nothing\n');
});

test.each(['selftest', 'units'] as const)('a first installation whose %s fails leaves nothing', async (fails) => {
  const bundle = await fakeAgent('0.1.0', { fails });
  await expect(installAgent(at.access(bundle))).rejects.toMatchObject({
    code: 'FAILED',
    message: expect.stringContaining('cannot install the agent on machine "prod-1"'),
    cause: expect.stringContaining('told to fail'),
  });
  await expect.poll(() => existsSync(at.libDir)).toBe(false);
  expect(readdirSync(join(at.prefix, 'bin'))).toEqual([]);
});

test('a bundle damaged on the way is refused', async () => {
  const bundle = { ...(await fakeAgent('0.1.0')), sha256: '0'.repeat(64) };
  await expect(installAgent(at.access(bundle))).rejects.toMatchObject({
    message: expect.stringContaining('renet.mjs does not match its checksum'),
  });
  await expect.poll(() => existsSync(at.libDir)).toBe(false);
});

test('where the server has no node, ours is shipped and used', async () => {
  const bundle = await fakeAgent('0.1.0');
  // A stand-in that says it is Node 22 and leads to the real one.
  const script = `#!/bin/sh\nif [ "$1" = -p ]; then echo 22.0.0; else exec ${process.execPath} "$@"; fi\n`;
  const runtime = {
    version: '22.0.0',
    gzip: gzipSync(script),
    sha256: createHash('sha256').update(script).digest('hex'),
  };
  const { bootstrap, facts } = await BootstrapSession.open(at.access(bundle));
  expect(facts.arch).toMatch(/x86_64|aarch64/);
  await bootstrap.run('begin', 'install');
  await bootstrap.put({ name: 'node', title: 'node', gzip: runtime.gzip, sha256: runtime.sha256, mode: '755' });
  await bootstrap.put({
    name: 'renet.mjs',
    title: 'agent',
    gzip: gzipSync(bundle.content),
    sha256: bundle.sha256,
    mode: '644',
  });
  await bootstrap.run('activate', '0.1.0-x', '22.0.0', '-');
  bootstrap.close();
  expect(readFileSync(at.launcher, 'utf8')).toContain(
    `exec ${at.libDir}/node-22.0.0/bin/node ${at.libDir}/current/renet.mjs`,
  );
  expect(at.events.at(-1)).toMatchObject({ kind: 'transfer', title: 'agent' });
  const again = await BootstrapSession.open(at.access(bundle));
  again.bootstrap.close();
  expect(again.facts.nodes[0]).toEqual({ version: '22.0.0', path: `${at.libDir}/node-22.0.0/bin/node` });
});

test('an installation that breaks off leaves nothing, and the next one may start', async () => {
  const bundle = await fakeAgent('0.1.0');
  const { bootstrap } = await BootstrapSession.open(at.access(bundle));
  await bootstrap.run('begin', 'install');
  await expect(installAgent(at.access(bundle))).rejects.toMatchObject({
    message: expect.stringContaining('another setup of this machine is running'),
  });
  bootstrap.session.stdin.write('put renet.mjs 100000 00 644\nhalf of it');
  setTimeout(() => bootstrap.close(), 200);
  await expect.poll(() => existsSync(at.libDir)).toBe(false);
  await (await installAgent(at.access(bundle))).close();
});

test('a temporary agent works and leaves nothing', async () => {
  const temporary = () => readdirSync('/var/tmp').filter((name) => name.startsWith('rediacc.'));
  const before = temporary();
  const client = await openTemporaryAgent(at.access(await fakeAgent('0.1.0')));
  expect(await client.call('run.list', {})).toEqual({ runs: [] });
  expect(temporary().length).toBe(before.length + 1);
  await client.close();
  await expect.poll(temporary).toEqual(before);
  expect(existsSync(at.libDir)).toBe(false);
  expect(existsSync(at.launcher)).toBe(false);
});

test('what a login prints does not get in the way', async () => {
  const chatty = await startSshd(
    `ForceCommand echo 'Welcome to prod'; echo '{ not json'; eval "$SSH_ORIGINAL_COMMAND"`,
  );
  try {
    const bundle = await fakeAgent('0.1.0');
    const plain = openSshTransport('/usr/bin/ssh').open(chatty.target(), ['true']);
    expect(String((await plain.stdout.toArray())[0])).toContain('Welcome');
    const client = await installAgent(at.access(bundle, { target: chatty.target() }));
    expect(await client.call('run.list', {})).toEqual({ runs: [] });
    await client.close();
  } finally {
    await chatty.stop();
  }
});
