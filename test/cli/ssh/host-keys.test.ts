import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseHostKey, scanHostKeys } from '../../../src/cli/ssh/host-keys.ts';
import { findProgram, pickTransport } from '../../../src/cli/ssh/pick-transport.ts';
import { freePort, startSshd, type TestSshd } from './sshd.ts';

let sshd: TestSshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

const which = (program: string) => findProgram(program, process.env);
const only =
  (...programs: string[]) =>
  (program: string) =>
    programs.includes(program) ? which(program) : Promise.resolve(undefined);

function fingerprintByKeygen(name: string): string {
  const printed = execFileSync('ssh-keygen', ['-lf', `${sshd.directory}/${name}.pub`]).toString();
  return printed.split(' ')[1] ?? '';
}

test.each([
  ['ssh-keyscan', which],
  ['the built-in client', only()],
])('%s finds every key, ed25519 first, with the fingerprints of ssh-keygen', async (_name, find) => {
  const keys = await scanHostKeys('127.0.0.1', sshd.port, { which: find });
  expect(keys.map((key) => key.key)).toEqual([sshd.publicKey('host'), sshd.publicKey('host-ecdsa')]);
  expect(keys.map((key) => key.fingerprint)).toEqual(['host', 'host-ecdsa'].map(fingerprintByKeygen));
});

test('where ssh-keyscan finds nothing, ssh with the user’s own config may', async () => {
  const silent = (program: string) => (program === 'ssh-keyscan' ? Promise.resolve('/bin/true') : which(program));
  const keys = await scanHostKeys('127.0.0.1', sshd.port, { which: silent });
  expect(keys.map((key) => key.key)).toEqual([sshd.publicKey('host')]);
});

test.each([
  ['ssh-keyscan', which],
  ['the built-in client', only()],
])('%s: nobody there', async (_name, find) => {
  await expect(scanHostKeys('127.0.0.1', await freePort(), { which: find })).rejects.toMatchObject({
    code: 'UNREACHABLE',
  });
});

test('a line that is no host key is none', () => {
  expect(parseHostKey('ssh-dss AAAA')).toBeUndefined();
  expect(parseHostKey('ssh-ed25519')).toBeUndefined();
  expect(parseHostKey('')).toBeUndefined();
});

test('OpenSSH is taken where it is, the built-in client otherwise or on request', async () => {
  const env = {};
  expect((await pickTransport({ which, env })).name).toBe('openssh');
  expect((await pickTransport({ which: only(), env })).name).toBe('builtin');
  expect((await pickTransport({ which, env, prefer: 'builtin' })).name).toBe('builtin');
  await expect(pickTransport({ which: only(), env, prefer: 'openssh' })).rejects.toMatchObject({
    code: 'TOOL_MISSING',
  });
});
