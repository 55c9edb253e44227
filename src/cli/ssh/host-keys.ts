// The host keys that a server shows, so that a person can compare fingerprints before they are pinned.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerHostKeyAlgorithm } from 'ssh2';
import { RdcError } from '../../protocol/errors.ts';
import { isUsableHost } from './check-target.ts';

export interface HostKey {
  /** e.g. "ssh-ed25519" */
  type: string;
  /** As pinned: "ssh-ed25519 AAAA…". */
  key: string;
  /** As `ssh-keygen -lf` prints it: "SHA256:…". */
  fingerprint: string;
}

export interface ScanDeps {
  /** Path of a program, or undefined where it is not installed. */
  which(program: string): Promise<string | undefined>;
}

/** Strongest first; a machine's first key is the one that people are shown. */
const TYPES = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
];
const SCAN_SECONDS = 10;

/** Throws UNREACHABLE when no key can be had, INVALID_INPUT for what is no host. */
export async function scanHostKeys(host: string, port: number, deps: ScanDeps): Promise<HostKey[]> {
  if (!isUsableHost(host)) throw new RdcError('INVALID_INPUT', `${JSON.stringify(host)} is no host name or address`);
  const [keyscan, ssh] = await Promise.all([deps.which('ssh-keyscan'), deps.which('ssh')]);
  const scanned = keyscan === undefined ? await handshakes(host, port) : await runKeyscan(keyscan, host, port);
  // ssh-keyscan knows neither the aliases nor the jump hosts of the user's ssh config.
  const lines = scanned.length > 0 || ssh === undefined ? scanned : await askWithSsh(ssh, host, port);
  const keys = lines.map(parseHostKey).filter((key) => key !== undefined);
  if (keys.length > 0) return keys.sort((a, b) => TYPES.indexOf(a.type) - TYPES.indexOf(b.type));
  throw new RdcError('UNREACHABLE', `${host} port ${port} shows no ssh host key`, {
    hint: `see why: ssh -v ${port === 22 ? '' : `-p ${port} `}${host}`,
  });
}

/** `text` is "TYPE BASE64", with or without something after it. */
export function parseHostKey(text: string): HostKey | undefined {
  const [type = '', base64 = ''] = text.trim().split(/\s+/);
  if (!TYPES.includes(type) || !/^[A-Za-z0-9+/]+=*$/.test(base64)) return undefined;
  return { type, key: `${type} ${base64}`, fingerprint: fingerprint(base64) };
}

function fingerprint(base64: string): string {
  const digest = createHash('sha256').update(Buffer.from(base64, 'base64')).digest('base64');
  return `SHA256:${digest.replace(/=+$/, '')}`;
}

async function runKeyscan(program: string, host: string, port: number): Promise<string[]> {
  const args = ['-T', String(SCAN_SECONDS), '-t', 'ed25519,ecdsa,rsa', '-p', String(port), '--', host];
  const stdout = await outputOf(program, args);
  return knownHostsKeys(stdout);
}

/** A login that is never made: the host key is written down before it. One key only, the one that ssh prefers. */
async function askWithSsh(program: string, host: string, port: number): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'rdc-scan-'));
  const file = join(directory, 'known_hosts');
  const options = {
    BatchMode: 'yes',
    ConnectTimeout: String(SCAN_SECONDS),
    StrictHostKeyChecking: 'accept-new',
    UserKnownHostsFile: `"${file}"`,
    GlobalKnownHostsFile: '/dev/null',
    HostKeyAlias: 'scanned',
    HashKnownHosts: 'no',
    PreferredAuthentications: 'none',
    ControlPath: 'none',
    ClearAllForwardings: 'yes',
  };
  try {
    const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    await outputOf(program, ['-T', ...words, ...(port === 22 ? [] : ['-p', String(port)]), '--', host, 'true']);
    return knownHostsKeys(await readFile(file, 'utf8').catch(absentAsEmpty));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function knownHostsKeys(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(line.indexOf(' ') + 1));
}

/** Both programs exit non-zero for a host that does not answer: what they wrote is the answer. */
async function outputOf(program: string, args: readonly string[]): Promise<string> {
  const timeout = 3 * SCAN_SECONDS * 1000;
  return await new Promise((resolve) => {
    const child = execFile(program, args, { timeout }, (_error, stdout) => resolve(stdout));
    child.stdin?.end();
  });
}

function absentAsEmpty(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return '';
  throw error;
}

/** Without OpenSSH: one handshake per kind of key, given up as soon as the server has shown it. */
async function handshakes(host: string, port: number): Promise<string[]> {
  const kinds: ServerHostKeyAlgorithm[][] = [
    ['ssh-ed25519'],
    ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
    ['rsa-sha2-512', 'rsa-sha2-256'],
  ];
  const keys = await Promise.all(kinds.map((kind) => handshake(host, port, kind)));
  return keys.filter((key) => key !== undefined);
}

async function handshake(host: string, port: number, kind: ServerHostKeyAlgorithm[]): Promise<string | undefined> {
  const { default: ssh2 } = await import('ssh2');
  return await new Promise((resolve) => {
    const client = new ssh2.Client();
    client.on('error', () => resolve(undefined)).on('close', () => resolve(undefined));
    client.connect({
      host,
      port,
      username: 'rdc',
      algorithms: { serverHostKey: kind },
      readyTimeout: SCAN_SECONDS * 1000,
      hostVerifier: (blob: Buffer) => {
        const type = blob.toString('latin1', 4, 4 + blob.readUInt32BE(0));
        resolve(`${type} ${blob.toString('base64')}`);
        return false;
      },
    });
  });
}
