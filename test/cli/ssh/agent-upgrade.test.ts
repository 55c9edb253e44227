// An agent that is there already: used, replaced or refused, on a real sshd.
import { copyFileSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectAgent } from '../../../src/cli/ssh/agent-connect.ts';
import { installAgent } from '../../../src/cli/ssh/agent-install.ts';
import type { RunId } from '../../../src/protocol/ids.ts';
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

test('an older agent is replaced through its own door; the old one stays for roll-back', async () => {
  const old = await fakeAgent('0.1.0', { launcher: at.launcher });
  await (await installAgent(at.access(old))).close();
  at.events.length = 0;
  writeFileSync(join(at.libDir, 'current/served'), '');
  const bundle = await fakeAgent('0.2.0', { launcher: at.launcher });
  const client = await connectAgent(at.access(bundle));
  expect(client.hello).toMatchObject({ version: '0.2.0', bundle: bundle.sha256 });
  await client.close();
  expect(at.steps()).toEqual(['replacing the agent on "prod-1" (0.1.0 -> 0.2.0)']);
  expect(readlinkSync(join(at.libDir, 'previous'))).toBe(`versions/0.1.0-${old.sha256.slice(0, 8)}`);
  expect(readFileSync(join(at.libDir, 'units'), 'utf8')).toMatch(/^0\.1\.0 .*\n0\.2\.0 .*\n$/);
});

test('one that never served is no way back: the one before it stays for that', async () => {
  const good = await fakeAgent('0.1.0', { launcher: at.launcher });
  await (await installAgent(at.access(good))).close();
  writeFileSync(join(at.libDir, 'current/served'), '');
  for (const version of ['0.2.0', '0.3.0']) {
    await (await connectAgent(at.access(await fakeAgent(version, { launcher: at.launcher })))).close();
  }
  expect(readlinkSync(join(at.libDir, 'current'))).toMatch(/^versions\/0\.3\.0-/);
  expect(readlinkSync(join(at.libDir, 'previous'))).toBe(`versions/0.1.0-${good.sha256.slice(0, 8)}`);
});

test('another build of the same version is replaced', async () => {
  await (await installAgent(at.access(await fakeAgent('0.1.0', { launcher: at.launcher })))).close();
  const bundle = await fakeAgent('0.1.0', { launcher: at.launcher, busy: true });
  const client = await connectAgent(at.access(bundle));
  expect(client.hello.bundle).toBe(bundle.sha256);
  await client.close();
  expect(at.steps().at(-1)).toBe('replacing the agent on "prod-1" (0.1.0, another build)');
});

test('Ctrl-C ends the way there, and cuts off nothing that is said later over the connection', async () => {
  const bundle = await fakeAgent('0.1.0', { launcher: at.launcher });
  await (await installAgent(at.access(bundle))).close();
  const controller = new AbortController();
  const client = await connectAgent(at.access(bundle, { signal: controller.signal }));
  controller.abort();
  await client.cancel('0123456789ab-00000001' as RunId);
  await client.close();
  // Control: on the way there, the same signal ends it.
  writeFileSync(at.launcher, '#!/bin/sh\nexec cat >/dev/null\n');
  const onTheWay = new AbortController();
  const connecting = connectAgent(at.access(bundle, { signal: onTheWay.signal }));
  setTimeout(() => onTheWay.abort(), 300);
  await expect(connecting).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
});

test('a bridge that is killed before it answers is a lost connection', async () => {
  writeFileSync(at.launcher, '#!/bin/sh\nkill -9 $$\n', { mode: 0o755 });
  await expect(connectAgent(at.access(await fakeAgent('0.1.0')))).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
});

test('a machine whose daemon does not answer is no case for an upgrade', async () => {
  const error = {
    code: 'NOT_SET_UP',
    message: 'nobody answers (ECONNREFUSED)',
    hint: 'rdc context setup-machine MACHINE',
  };
  const hello = { renet: 1, protocol: 0, version: '', bundle: '', setUp: false, error };
  writeFileSync(at.launcher, `#!/bin/sh\necho '${JSON.stringify(hello)}'\n`, { mode: 0o755 });
  await expect(connectAgent(at.access(await fakeAgent('0.1.0')))).rejects.toMatchObject({
    code: 'NOT_SET_UP',
    message: 'the agent on machine "prod-1" does not run',
    hint: 'rdc context setup-machine prod-1',
  });
  expect(at.events).toEqual([]);
});

test('while runs go on under the old agent, it serves the new rdc', async () => {
  const old = await fakeAgent('0.1.0', { launcher: at.launcher, busy: true });
  await (await installAgent(at.access(old))).close();
  // Stands for a daemon that goes on: whatever `current` points to, the old bundle answers.
  const bundlePath = join(at.libDir, readlinkSync(join(at.libDir, 'current')), 'renet.mjs');
  const answering = `${at.prefix}/answering.mjs`;
  copyFileSync(bundlePath, answering);
  writeFileSync(at.launcher, `#!/bin/sh\nexec ${process.execPath} ${answering} "$@"\n`);
  const bundle = await fakeAgent('0.2.0', { launcher: at.launcher });
  const client = await connectAgent(at.access(bundle));
  expect(client.hello.version).toBe('0.1.0');
  expect(at.steps().at(-1)).toBe('the new agent on "prod-1" takes over when its runs have ended');
  expect(readlinkSync(join(at.libDir, 'current'))).toContain('0.2.0');
  await client.close();
});

describe.each(['selftest', 'units'] as const)('an upgrade whose %s fails', (fails) => {
  test('leaves the old agent at work, which serves, and that is told', async () => {
    await (await installAgent(at.access(await fakeAgent('0.1.0', { launcher: at.launcher })))).close();
    writeFileSync(join(at.libDir, 'current/served'), '');
    const client = await connectAgent(at.access(await fakeAgent('0.2.0', { launcher: at.launcher, fails })));
    expect(client.hello.version).toBe('0.1.0');
    await client.close();
    expect(at.steps().at(-1)).toMatch(/^the agent on "prod-1" cannot be replaced: .*; the one there, 0\.1\.0, serves$/);
    expect(readdirSync(at.libDir).sort()).toEqual(['current', 'units', 'versions']);
  });

  test('leaves the way back as it was', async () => {
    for (const version of ['0.1.0', '0.2.0']) {
      await (await installAgent(at.access(await fakeAgent(version, { launcher: at.launcher })))).close();
      writeFileSync(join(at.libDir, 'current/served'), '');
    }
    await (await connectAgent(at.access(await fakeAgent('0.3.0', { launcher: at.launcher, fails })))).close();
    const links = ['current', 'previous'].map((link) => readlinkSync(join(at.libDir, link)));
    expect(links).toEqual([expect.stringMatching(/\/0\.2\.0-/), expect.stringMatching(/\/0\.1\.0-/)]);
  });

  test('is the end where they do not speak the same protocol', async () => {
    await (await installAgent(at.access(await fakeAgent('0.1.0', { launcher: at.launcher, protocol: 0 })))).close();
    const connecting = connectAgent(at.access(await fakeAgent('0.2.0', { launcher: at.launcher, fails })));
    await expect(connecting).rejects.toMatchObject({ message: expect.stringContaining('failed') });
  });
});

test.each(['connectAgent', 'installAgent'] as const)('%s: the way back is there before the new one is', async (how) => {
  await (await installAgent(at.access(await fakeAgent('0.1.0', { launcher: at.launcher })))).close();
  writeFileSync(join(at.libDir, 'current/served'), '');
  const bundle = await fakeAgent('0.2.0', { launcher: at.launcher });
  await (await { connectAgent, installAgent }[how](at.access(bundle))).close();
  expect(readFileSync(join(at.libDir, 'units'), 'utf8').split('\n').slice(0, 2)).toEqual([
    '0.1.0 before it: nothing',
    expect.stringMatching(/^0\.2\.0 before it: versions\/0\.1\.0-/),
  ]);
});

test('one that did not start when it was there is not brought again, and that is told', async () => {
  const bundle = await fakeAgent('0.2.0', { launcher: at.launcher });
  const old = await fakeAgent('0.1.0', { launcher: at.launcher, rolledBack: bundle.sha256 });
  await (await installAgent(at.access(old))).close();
  at.events.length = 0;
  const client = await connectAgent(at.access(bundle));
  expect(client.hello.version).toBe('0.1.0');
  await client.close();
  expect(at.steps()).toEqual([
    'the agent 0.2.0 does not start on "prod-1"; the one before it, 0.1.0, was put back and serves: journalctl -u rediacc-agent on the machine tells why; rdc context setup-machine tries again',
  ]);
  // Control: another one is brought.
  const mended = await fakeAgent('0.2.1', { launcher: at.launcher });
  const served = await connectAgent(at.access(mended));
  expect(served.hello.version).toBe('0.2.1');
  await served.close();
});

test('one that did not start, and the one before it speaks another protocol', async () => {
  const bundle = await fakeAgent('0.2.0', { launcher: at.launcher });
  const old = await fakeAgent('0.1.0', { launcher: at.launcher, rolledBack: bundle.sha256, protocol: 0 });
  await installAgent(at.access(old)).then(
    (client) => client.close(),
    () => undefined,
  );
  await expect(connectAgent(at.access(bundle))).rejects.toMatchObject({
    code: 'AGENT_MISMATCH',
    message: 'the agent 0.2.0 does not start on "prod-1"; the one before it, 0.1.0, was put back',
  });
});

test('an upgrade that breaks off changes nothing', async () => {
  const old = await fakeAgent('0.1.0', { launcher: at.launcher });
  await (await installAgent(at.access(old))).close();
  const bundle = await fakeAgent('0.2.0', { launcher: at.launcher });
  const short = { ...bundle, sha256: '1'.repeat(64) };
  await (await connectAgent(at.access(short))).close();
  expect(at.steps().at(-1)).toContain(
    'cannot be replaced: the uploaded agent does not match its checksum; the one there',
  );
  expect(readlinkSync(join(at.libDir, 'current'))).toContain('0.1.0');
});

test('a newer agent of the same protocol is used as it is, by commands and by setup', async () => {
  const newer = await fakeAgent('0.3.0', { launcher: at.launcher });
  await (await installAgent(at.access(newer))).close();
  at.events.length = 0;
  const mine = await fakeAgent('0.2.0', { launcher: at.launcher });
  for (const open of [connectAgent, installAgent]) {
    const client = await open(at.access(mine));
    expect(client.hello.version).toBe('0.3.0');
    await client.close();
  }
  expect(at.events).toEqual([]);
});

test('a newer agent of another protocol is a mismatch that names both', async () => {
  const newer = await fakeAgent('0.3.0', { launcher: at.launcher, protocol: 2 });
  const mine = await fakeAgent('0.2.0', { launcher: at.launcher });
  await installAgent(at.access(newer)).then((client) => client.close());
  await expect(connectAgent(at.access(mine))).rejects.toMatchObject({
    code: 'AGENT_MISMATCH',
    message: 'the agent on machine "prod-1" (0.3.0) is newer than this rdc (0.2.0)',
    hint: 'update rdc to 0.3.0 or later',
  });
});
