// When the files of a directory count as changed, over real directories.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { contentDigests, MOST_CONTENT_BYTES } from '../../src/lifecycle/content-digest.ts';

let mountPoint: string;
const at = (path: string) => join(mountPoint, path);
const digests = (directories = ['', 'api', 'db'], data: string[] = []) =>
  contentDigests(createLinuxSystem({}), { mountPoint, directories, data: data.map(at) });

beforeEach(() => {
  mountPoint = mkdtempSync(join(tmpdir(), 'rdc-digest-'));
  for (const directory of ['api/src', 'db', '.rediacc/docker']) mkdirSync(at(directory), { recursive: true });
  writeFileSync(at('Rediaccfile'), 'up() { :; }');
  writeFileSync(at('api/src/main.js'), 'one');
  writeFileSync(at('db/Rediaccfile'), 'up() { :; }');
});
afterEach(() => rmSync(mountPoint, { recursive: true }));

/** Which of the three directories a change is seen in. */
async function seenIn(change: () => void, data: string[] = []): Promise<string[]> {
  const before = await digests(undefined, data);
  expect([...before.keys()]).toEqual(['', 'api', 'db']);
  change();
  const after = await digests(undefined, data);
  return [...after].flatMap(([name, digest]) => (before.get(name) === digest ? [] : [name]));
}

describe('counts, and in its own directory only', () => {
  test.each<[string, string, () => void]>([
    ['a file of the root', '', () => writeFileSync(at('.env'), 'A=1')],
    [
      'other content of the same length and time',
      'api',
      () => {
        const time = new Date(2020, 1, 1);
        utimesSync(at('api/src/main.js'), time, time);
        writeFileSync(at('api/src/main.js'), 'two');
        utimesSync(at('api/src/main.js'), time, time);
      },
    ],
    ['a new file', 'api', () => writeFileSync(at('api/.hidden'), '')],
    ['a removed one', 'api', () => rmSync(at('api/src/main.js'))],
    ['another name', 'api', () => execFileSync('mv', [at('api/src/main.js'), at('api/src/other.js')])],
    ['a mode', 'db', () => execFileSync('chmod', ['+x', at('db/Rediaccfile')])],
    ['where a link leads', 'db', () => symlinkSync('/nowhere', at('db/link'))],
    [
      'a name of odd bytes',
      'db',
      () => writeFileSync(Buffer.concat([Buffer.from(at('db/')), Buffer.from([10, 255, 9])]), ''),
    ],
  ])('%s', async (_, directory, change) => expect(await seenIn(change)).toEqual([directory]));
});

describe('does not count', () => {
  test.each<[string, () => void]>([
    ['a time', () => utimesSync(at('api/src/main.js'), 1, 1)],
    ['an empty directory', () => mkdirSync(at('api/empty'))],
    ['git', () => execFileSync('git', ['init', '-q', at('api')])],
    ['what docker keeps', () => writeFileSync(at('.rediacc/docker/layer'), 'x')],
    ['the slots', () => writeFileSync(at('.rediacc.json'), '{}')],
    ['a FIFO, which nobody writes to', () => execFileSync('mkfifo', [at('api/fifo')])],
  ])('%s', async (_, change) => expect(await seenIn(change)).toEqual([]));

  test('data of a service, whatever its name is', async () => {
    mkdirSync(at('db/d*ta'));
    mkdirSync(at('db/data'));
    expect(await seenIn(() => writeFileSync(at('db/d*ta/base'), 'rows'), ['db/d*ta'])).toEqual([]);
    expect(await seenIn(() => writeFileSync(at('db/data/base'), 'rows'), ['db/d*ta'])).toEqual(['db']);
  });
});

test('much is compared by size and time, without being read', async () => {
  writeFileSync(at('api/media'), '');
  truncateSync(at('api/media'), MOST_CONTENT_BYTES * 1000);
  const before = await digests();
  expect([...before.values()].map((digest) => digest.split(':')[0])).toEqual(['content', 'metadata', 'content']);
  expect(await digests()).toEqual(before);
  expect(await seenIn(() => utimesSync(at('api/media'), 1, 1))).toEqual(['api']);
});

test('a directory with an odd name is looked through', async () => {
  const name = 'a\t ./db/\n*'.replaceAll('/', '\\');
  mkdirSync(at(name));
  const before = await digests([name, 'db']);
  writeFileSync(join(at(name), 'file'), 'x');
  const after = await digests([name, 'db']);
  expect([after.get(name) === before.get(name), after.get('db') === before.get('db')]).toEqual([false, true]);
});

test('a directory behind a link is looked through', async () => {
  mkdirSync(at('.real'));
  symlinkSync('.real', at('linked'));
  const before = await digests(['linked']);
  writeFileSync(at('.real/file'), 'x');
  expect((await digests(['linked'])).get('linked')).not.toBe(before.get('linked'));
});
