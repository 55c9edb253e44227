// agent-roll-back.sh as systemd runs it, on a directory of its own.
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { beforeEach, expect, test } from 'vitest';
import { temporaryDirectory } from './harness.ts';

const SCRIPT = fileURLToPath(new URL('../../systemd/agent-roll-back.sh', import.meta.url));
let lib: string;
let launcher: string;

beforeEach(async () => {
  lib = await temporaryDirectory();
  launcher = join(lib, 'launcher');
  writeFileSync(launcher, `#!/bin/sh\necho "$1 of $(readlink ${lib}/current)"\n`, { mode: 0o755 });
  for (const version of ['1', '2']) {
    mkdirSync(join(lib, 'versions', version), { recursive: true });
    writeFileSync(join(lib, 'versions', version, 'renet.mjs'), version);
  }
  symlinkSync('versions/1', join(lib, 'previous'));
  symlinkSync('versions/2', join(lib, 'current'));
});

const ended = async (SERVICE_RESULT: string) => {
  const { stdout } = await execa('sh', [SCRIPT, lib, launcher], { env: { SERVICE_RESULT } });
  return stdout;
};
const current = () => readlinkSync(join(lib, 'current'));

test('the second end by a fault of a bundle that never served: the one before it, with its units', async () => {
  expect(await ended('signal')).toBe('');
  expect(current()).toBe('versions/2');
  expect(await ended('exit-code')).toBe(
    'the agent in versions/2 does not start: the one in versions/1 is put back\ninstall-units of versions/1',
  );
  expect(current()).toBe('versions/1');
  // sha256sum of "2"
  const sha256 = 'd4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35';
  expect(readFileSync(join(lib, 'rolled-back'), 'utf8')).toBe(`${sha256}\n`);
});

test.each([
  ['one that has served', () => writeFileSync(join(lib, 'versions/2/served'), ''), 'signal'],
  ['one without another before it', () => rmSync(join(lib, 'previous')), 'signal'],
  ['one whose predecessor is gone', () => rmSync(join(lib, 'versions/1'), { recursive: true }), 'signal'],
  ['one that ends as it should', () => undefined, 'success'],
])('%s stays, however often', async (_title, prepare, result) => {
  prepare();
  for (let time = 0; time < 3; time++) expect(await ended(result)).toBe('');
  expect(current()).toBe('versions/2');
  expect(existsSync(join(lib, 'rolled-back'))).toBe(false);
});

test('units that cannot be put back are told; the bundle is', async () => {
  writeFileSync(launcher, '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  await ended('signal');
  expect(await ended('signal')).toContain('the units of versions/1 could not be put back');
  expect(current()).toBe('versions/1');
});
