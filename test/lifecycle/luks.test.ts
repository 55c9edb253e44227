// What cryptsetup itself says of a header, as we read it.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { luksMetadata, oneAtATime } from '../../src/lifecycle/luks.ts';
import { isMemoryHard } from '../../src/lifecycle/luks-metadata.ts';

let directory: string;
const system = createLinuxSystem({});
const image = () => join(directory, 'image');

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'rdc-luks-'));
  writeFileSync(image(), '');
  truncateSync(image(), 32 * 1024 ** 2);
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('whether opening takes memory on purpose', () => {
  test.each([
    ['argon2id', ['--pbkdf-memory', '1024', '--pbkdf-parallel', '1', '--pbkdf-force-iterations', '4'], true],
    ['pbkdf2', ['--pbkdf-force-iterations', '1000'], false],
  ])('%s', async (kdf, cost, expected) => {
    const args = ['luksFormat', '-q', '--type', 'luks2', '--pbkdf', kdf, ...cost, '--key-file', '-', image()];
    await system.run({ file: 'cryptsetup', args, stdin: 'a key' });
    const { stdout } = await system.run(luksMetadata(image()));
    expect(isMemoryHard(stdout, 0)).toBe(expected);
    expect(isMemoryHard(stdout, 1)).toBe(false);
  });
});

test('one at a time: the second begins when the first has ended, and the exit code is its own', async () => {
  const lock = join(directory, 'lock');
  const log = join(directory, 'log');
  const one = (name: string, code: number) =>
    system.run({
      ...oneAtATime(lock, {
        file: 'sh',
        args: ['-c', `echo begin ${name} >> ${log}; sleep 0.2; echo end ${name} >> ${log}; exit ${code}`],
      }),
      allow: [3],
    });
  const ends = await Promise.all([one('a', 0), one('b', 3)]);
  expect(ends.map(({ exitCode }) => exitCode)).toEqual([0, 3]);
  const words =
    (await system.readFile(log))
      ?.trim()
      .split('\n')
      .map((line) => line.split(' ')) ?? [];
  expect(words.map(([what]) => what)).toEqual(['begin', 'end', 'begin', 'end']);
});
