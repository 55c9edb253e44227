// A real OpenSSH server on a free port of the loopback, with host keys, user keys and config of its own.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SshTarget } from '../../../src/cli/ssh/transport.ts';

const SSHD = '/usr/sbin/sshd';

export interface TestSshd {
  directory: string;
  port: number;
  /** Put first on PATH of every session. */
  bin: string;
  target(changes?: Partial<SshTarget>): SshTarget;
  /** Path of another key: "user" may log in, "stranger" may not, "locked" may and has the passphrase "pass phrase". */
  key(name: 'user' | 'stranger' | 'locked'): string;
  /** Public half, as known_hosts wants it. */
  publicKey(name: string): string;
  stop(): Promise<void>;
}

/** `config` is added to sshd_config, `env` to the environment of every session. */
export async function startSshd(config = '', env: Record<string, string> = {}): Promise<TestSshd> {
  if (!existsSync(SSHD)) throw new Error('these tests need an ssh server: apt-get install openssh-server');
  const directory = mkdtempSync(join(tmpdir(), 'rdc-sshd-'));
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  for (const name of ['host', 'other-host', 'user', 'stranger']) keygen(directory, name, 'ed25519', '');
  keygen(directory, 'locked', 'ed25519', 'pass phrase');
  keygen(directory, 'host-ecdsa', 'ecdsa', '');
  writeFileSync(join(directory, 'authorized'), ['user', 'locked'].map((n) => `${readPublic(directory, n)}\n`).join(''));
  const port = await freePort();
  writeFileSync(join(directory, 'config'), sshdConfig(directory, port, config, env));
  // Privilege separation of an sshd run by root wants this directory; the system's own service would make it.
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true });
  const daemon = spawn(SSHD, ['-f', join(directory, 'config'), '-D', '-e'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  daemon.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  await listening(port, daemon, () => log);
  const base: SshTarget = {
    machine: 'prod-1',
    host: '127.0.0.1',
    port,
    user: userInfo().username,
    identityFile: join(directory, 'user'),
    hostKeys: [readPublic(directory, 'host')],
  };
  return {
    directory,
    port,
    bin,
    target: (changes = {}) => ({ ...base, ...changes }),
    key: (name) => join(directory, name),
    publicKey: (name) => readPublic(directory, name),
    async stop() {
      const gone = new Promise((resolve) => daemon.once('exit', resolve));
      if (daemon.exitCode === null && daemon.kill('SIGTERM')) await gone;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function sshdConfig(directory: string, port: number, more: string, env: Record<string, string>): string {
  const variables = { PATH: `${directory}/bin:/usr/local/bin:/usr/bin:/bin`, ...env };
  const words = Object.entries(variables).map(([name, value]) => `"${name}=${value}"`);
  // The first value counts in sshd_config, so what a test asks for comes first.
  return `${more}
Port ${port}
ListenAddress 127.0.0.1
HostKey ${directory}/host
HostKey ${directory}/host-ecdsa
AuthorizedKeysFile ${directory}/authorized
PidFile ${directory}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv ${words.join(' ')}
`;
}

function keygen(directory: string, name: string, type: string, passphrase: string): void {
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', name, '-f', join(directory, name)]);
}

function readPublic(directory: string, name: string): string {
  return readFileSync(join(directory, `${name}.pub`), 'utf8')
    .split(' ')
    .slice(0, 2)
    .join(' ');
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function listening(port: number, daemon: ChildProcess, log: () => string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (daemon.exitCode !== null) throw new Error(`sshd did not start: ${log()}`);
    if (await accepts(port)) return;
    await sleep(50);
  }
  throw new Error(`sshd does not listen: ${log()}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
