// Who is let in and who is not: both clients against the same table, on a real sshd.
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builtinTransport } from '../../../src/cli/ssh/builtin.ts';
import { openSshTransport } from '../../../src/cli/ssh/openssh.ts';
import { clients, emptyEnvironment, failureOf } from './clients.ts';
import { freePort, startSshd, type TestSshd } from './sshd.ts';

let sshd: TestSshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

describe.each(clients)('%s', (_name, transport) => {
  test('a changed host key stops at once', async () => {
    const error = await failureOf(() =>
      transport.open(sshd.target({ hostKeys: [sshd.publicKey('other-host')] }), ['true']),
    );
    expect(error).toMatchObject({
      code: 'HOST_KEY',
      message: 'the host key of machine "prod-1" has changed',
      hint: expect.stringContaining('rdc context scan-keys prod-1'),
    });
  });

  test('a pinned key of a kind that the server no longer has is a changed one', async () => {
    const rsa = 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC';
    expect(await failureOf(() => transport.open(sshd.target({ hostKeys: [rsa] }), ['true']))).toMatchObject({
      code: 'HOST_KEY',
    });
  });

  test('any one of several pinned keys is enough', async () => {
    const hostKeys = [sshd.publicKey('other-host'), sshd.publicKey('host-ecdsa')];
    const only = transport.open(sshd.target({ hostKeys: hostKeys.slice(1) }), ['true']);
    only.stdout.resume();
    expect(await only.ended).toEqual({ exitCode: 0 });
  });

  test('without a pinned key nothing is sent', async () => {
    expect(await failureOf(() => transport.open(sshd.target({ hostKeys: [] }), ['true']))).toMatchObject({
      code: 'HOST_KEY',
      hint: 'rdc context scan-keys prod-1',
    });
  });

  test('a key that the server does not know', async () => {
    const target = sshd.target({ identityFile: sshd.key('stranger') });
    expect(await failureOf(() => transport.open(target, ['true']))).toMatchObject({
      code: 'SSH_LOGIN',
      message: expect.stringContaining('was not accepted'),
    });
  });

  test('a key file that is not there', async () => {
    const target = sshd.target({ identityFile: '/nonexistent/key' });
    expect(await failureOf(() => transport.open(target, ['true']))).toMatchObject({ code: 'SSH_LOGIN' });
  });

  test('a locked key with nobody to ask', async () => {
    const target = sshd.target({ identityFile: sshd.key('locked') });
    expect(await failureOf(() => transport.open(target, ['true']))).toMatchObject({
      code: 'SSH_LOGIN',
      hint: `ssh-add ${sshd.key('locked')}`,
    });
  });

  test('a port where nobody listens', async () => {
    const port = await freePort();
    expect(await failureOf(() => transport.open(sshd.target({ port }), ['true']))).toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('connection refused'),
    });
  });

  test('a name that does not resolve', async () => {
    const target = sshd.target({ host: 'machine.invalid' });
    expect(await failureOf(() => transport.open(target, ['true']))).toMatchObject({ code: 'UNREACHABLE' });
  });

  test('something that is no ssh server', async () => {
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    expect(await failureOf(() => transport.open(sshd.target({ port }), ['true']))).toMatchObject({
      code: 'UNREACHABLE',
    });
    server.close();
  });

  test.each(['-oProxyCommand=id', 'a b', 'a;id', ''])('host %j is refused', async (host) => {
    expect(await failureOf(() => transport.open(sshd.target({ host }), ['true']))).toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });

  test.each(['-l', 'root x', "o'neil"])('user %j is refused', async (user) => {
    expect(await failureOf(() => transport.open(sshd.target({ user }), ['true']))).toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});

test('the built-in client asks for a passphrase once', async () => {
  const asked: string[] = [];
  const transport = builtinTransport({
    env: emptyEnvironment,
    askPassphrase: async (file) => {
      asked.push(file);
      return 'pass phrase';
    },
  });
  const session = transport.open(sshd.target({ identityFile: sshd.key('locked') }), ['true'], { tty: true });
  session.stdout.resume();
  expect(await session.ended).toEqual({ exitCode: 0 });
  expect(asked).toEqual([sshd.key('locked')]);
});

test('a missing ssh is named', async () => {
  const transport = openSshTransport('/nonexistent/ssh');
  expect(await failureOf(() => transport.open(sshd.target(), ['true']))).toMatchObject({ code: 'TOOL_MISSING' });
});
