// Files of a repository read by root: only plain ones inside it, whatever stands in their place.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readInside } from '../../src/agent/read-inside.ts';

const MAX = 1000;
let root = '';
let outside = '';
beforeEach(() => {
  const base = mkdtempSync(join(tmpdir(), 'rdc-inside-'));
  root = join(base, 'repo');
  outside = join(base, 'repo-other');
  mkdirSync(root);
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
  writeFileSync(join(root, 'plain'), 'text');
});
afterEach(() => rmSync(join(root, '..'), { recursive: true }));

const read = (path: string) => readInside(root, path.startsWith('/') ? path : `${root}/${path}`, MAX);

describe('what is read', () => {
  it('is a plain file', async () => expect(await read('plain')).toEqual({ text: 'text' }));

  it('is a link that stays inside, absolute or relative', async () => {
    symlinkSync('plain', join(root, 'relative'));
    symlinkSync(join(root, 'plain'), join(root, 'absolute'));
    expect([await read('relative'), await read('absolute')]).toEqual([{ text: 'text' }, { text: 'text' }]);
  });

  it('is the same where the root itself is reached over a link', async () => {
    symlinkSync(root, join(outside, 'link'));
    expect(await readInside(join(outside, 'link'), join(outside, 'link', 'plain'), MAX)).toEqual({ text: 'text' });
  });
});

describe('what is not', () => {
  it.each([
    ['a link to a file elsewhere', () => symlinkSync(join(outside, 'secret'), join(root, 'x')), 'x'],
    ['a file below a link to a directory elsewhere', () => symlinkSync(outside, join(root, 'x')), 'x/secret'],
    ['a way up', () => undefined, '../repo-other/secret'],
    ['a device behind a link', () => symlinkSync('/dev/zero', join(root, 'x')), 'x'],
    ['our own open files behind a link', () => symlinkSync('/proc/self/environ', join(root, 'x')), 'x'],
  ])('%s', async (_, make, path) => {
    make();
    expect(await read(path)).toEqual({ refused: 'outside' });
  });

  it('a FIFO, which nobody writes to, and a directory', async () => {
    execFileSync('mkfifo', [join(root, 'fifo')]);
    mkdirSync(join(root, 'directory'));
    expect([await read('fifo'), await read('directory')]).toEqual([
      { refused: 'unreadable' },
      { refused: 'unreadable' },
    ]);
  });

  it('a link in a circle', async () => {
    symlinkSync('x', join(root, 'x'));
    expect(await read('x')).toEqual({ refused: 'unreadable' });
  });

  it('what is absent, or dangles', async () => {
    symlinkSync('nothing', join(root, 'dangling'));
    const answers = [await read('nothing'), await read('dangling'), await read('plain/x')];
    expect(answers).toEqual(Array(3).fill({ refused: 'absent' }));
  });

  it('one byte too much; control: exactly the limit', async () => {
    writeFileSync(join(root, 'limit'), 'x'.repeat(MAX));
    writeFileSync(join(root, 'more'), 'x'.repeat(MAX + 1));
    expect(await read('limit')).toEqual({ text: 'x'.repeat(MAX) });
    expect(await read('more')).toEqual({ refused: 'too-large' });
    writeFileSync(join(root, 'sparse'), '');
    truncateSync(join(root, 'sparse'), 2 ** 40);
    expect(await read('sparse')).toEqual({ refused: 'too-large' });
  });

  it('bytes that are no UTF-8', async () => {
    writeFileSync(join(root, 'latin1'), Buffer.from([0x61, 0xe4, 0x62]));
    expect(await read('latin1')).toEqual({ refused: 'not-text' });
  });
});
