// Messages of OpenSSH 9.2 and of sudo 1.9.13 as they came, and what we make of them.
import { describe, expect, test } from 'vitest';
import { classifyOpenSshEnd } from '../../../src/cli/ssh/failure.ts';
import { elevate, explainSilence, type Right } from '../../../src/cli/ssh/remote-failure.ts';
import type { SshTarget } from '../../../src/cli/ssh/transport.ts';

const target: SshTarget = {
  machine: 'prod-1',
  host: '192.0.2.7',
  port: 2222,
  user: 'deploy',
  identityFile: '/home/anna/.ssh/prod',
  hostKeys: ['ssh-ed25519 AAAA'],
};

const classify = (log: string, began = false, stderr = '') => classifyOpenSshEnd(target, { log, stderr, began });

describe('ssh', () => {
  test.each([
    ['Host key for al has changed and you have requested strict checking.\nHost key verification failed.', 'HOST_KEY'],
    [
      'Unable to negotiate with 127.0.0.1 port 22: no matching host key type found. Their offer: ssh-ed25519',
      'HOST_KEY',
    ],
    ['deploy@192.0.2.7: Permission denied (publickey).', 'SSH_LOGIN'],
    ['Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures', 'SSH_LOGIN'],
    ['Load key "k": bad permissions\ndeploy@192.0.2.7: Permission denied (publickey).', 'SSH_LOGIN'],
    ['ssh: connect to host 192.0.2.7 port 22: Connection refused', 'UNREACHABLE'],
    ['ssh: connect to host 192.0.2.7 port 22: Connection timed out', 'UNREACHABLE'],
    ['ssh: connect to host 192.0.2.7 port 22: No route to host', 'UNREACHABLE'],
    ['ssh: Could not resolve hostname prod: Name or service not known', 'UNREACHABLE'],
    ['Connection timed out during banner exchange', 'UNREACHABLE'],
    ['kex_exchange_identification: Connection closed by remote host', 'UNREACHABLE'],
    ['Connection reset by 192.0.2.7 port 22', 'UNREACHABLE'],
    ['channel 0: open failed: connect failed: open failed', 'UNREACHABLE'],
    ['Timeout, server 192.0.2.7 not responding.', 'CONNECTION_LOST'],
    ['client_loop: send disconnect: Broken pipe', 'CONNECTION_LOST'],
    ['something nobody has seen yet', 'UNREACHABLE'],
  ])('%j is %s', (log, code) => {
    expect(classify(`${log}\n`)).toMatchObject({ code });
  });

  test('the same end of the connection after the first answer is a loss', () => {
    const log = 'Connection reset by 192.0.2.7 port 22\n';
    expect(classify(log, true)).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  test('a jump host that is not known is named as such', () => {
    const stderr = 'Host key verification failed.\r\n';
    const log =
      'kex_exchange_identification: Connection closed by remote host\r\nConnection closed by UNKNOWN port 65535';
    expect(classify(log, false, stderr)).toMatchObject({
      code: 'HOST_KEY',
      message: 'the jump host on the way to machine "prod-1" shows an unknown or changed key',
    });
    expect(classify(log)).toMatchObject({ code: 'UNREACHABLE' });
  });

  test('a hint can be pasted', () => {
    expect(classify('Load key "k": bad permissions').hint).toBe('chmod 600 /home/anna/.ssh/prod');
    expect(classify('x: Permission denied (publickey).').hint).toBe(
      'see why: ssh -v -i /home/anna/.ssh/prod -p 2222 deploy@192.0.2.7 true',
    );
  });
});

describe('no hello', () => {
  const explain = (exitCode: number, stderr: string, right: Right = 'connect', noise = '') =>
    explainSilence({ target, right, launcher: '/usr/bin/renet', exitCode, stderr, noise });
  const warning = 'sudo: unable to resolve host prod: Name or service not known\n';

  test.each([
    [1, `${warning}sudo: /usr/bin/renet: command not found\n`],
    [127, 'sh: 1: /usr/bin/renet: not found\n'],
    [127, 'bash: line 1: /usr/bin/renet: No such file or directory\n'],
  ])('%i %j: not set up', (exitCode, stderr) => {
    expect(explain(exitCode, stderr)).toMatchObject({
      code: 'NOT_SET_UP',
      message: 'machine "prod-1" is not set up',
      hint: 'rdc context setup-machine prod-1',
    });
  });

  test('sudo wants a password: the exact line, wide for setup and narrow for the rest', () => {
    const stderr = `${warning}sudo: a password is required\n`;
    expect(explain(1, stderr, 'setup')).toMatchObject({
      code: 'SUDO',
      message: 'sudo on machine "prod-1" asks for a password for user "deploy"',
      hint: `on "prod-1", as root: echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/rediacc`,
    });
    expect(explain(1, stderr).hint).toBe(
      `on "prod-1", as root: echo 'deploy ALL=(root) NOPASSWD: /usr/bin/renet connect' > /etc/sudoers.d/rediacc`,
    );
  });

  test.each([
    ['sudo: sorry, you must have a tty to run sudo\n', 'Defaults:deploy !requiretty'],
    ['deploy is not in the sudoers file.\nsudo: a password is required\n', 'NOPASSWD'],
    ['Sorry, user deploy is not allowed to execute x as root on prod.\n', 'NOPASSWD'],
  ])('%j is sudo’s refusal', (stderr, hint) => {
    expect(explain(1, stderr)).toMatchObject({ code: 'SUDO', hint: expect.stringContaining(hint) });
  });

  test('no sudo at all', () => {
    expect(explain(127, 'env: ‘sudo’: No such file or directory\n')).toMatchObject({
      code: 'SUDO',
      message: 'machine "prod-1" has no sudo, and "deploy" is not root',
    });
  });

  test('an agent that broke is shown with all that was heard', () => {
    expect(explain(1, 'SyntaxError: Unexpected token\n', 'connect', 'Welcome\n')).toMatchObject({
      code: 'FAILED',
      message: 'the agent on machine "prod-1" did not answer: SyntaxError: Unexpected token',
      cause: 'Welcome\n\nSyntaxError: Unexpected token',
    });
  });

  test('one that was killed on the way is a lost connection; control: one that aborts has broken', () => {
    for (const exitCode of [137, 143, 255]) {
      expect(explain(exitCode, '')).toMatchObject({
        code: 'CONNECTION_LOST',
        message: 'what leads to the agent on machine "prod-1" was killed there',
        hint: 'type the command again',
      });
    }
    expect(explain(134, '')).toMatchObject({ code: 'FAILED' });
    expect(explain(137, 'out of memory')).toMatchObject({ code: 'FAILED' });
  });

  test('root needs no sudo', () => {
    expect(elevate({ ...target, user: 'root' }, ['renet', 'connect'])).toEqual(['renet', 'connect']);
    expect(elevate(target, ['renet', 'connect'])).toEqual(['env', 'LC_ALL=C', 'sudo', '-n', 'renet', 'connect']);
  });
});
