// The fault hook of test builds, in a process of its own: it dies where it is told to and nowhere else. Needs root.
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory, until } from './harness.ts';
import { bundle, run } from './process.ts';

async function withFault(fault: object | undefined, mode = 0o600) {
  const directory = await temporaryDirectory();
  const file = join(directory, 'fault.json');
  if (fault !== undefined) writeFileSync(file, JSON.stringify(fault));
  if (fault !== undefined) chmodSync(file, mode);
  const { child } = run(await bundle('fault-process.ts', directory), [directory]);
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  const made = () => ['first', 'second', 'third'].filter((name) => existsSync(join(directory, name)));
  const noted = fault === undefined ? undefined : (JSON.parse(readFileSync(file, 'utf8')) as { changes: string[] });
  return { signal, made, noted };
}

test('without a number the changes are counted; looks and what changes nothing are not', async () => {
  const { signal, made, noted } = await withFault({});
  expect([signal, made()]).toEqual([null, ['first', 'second', 'third']]);
  expect(noted?.changes.map((words) => words.split(' ')[0])).toEqual(['write', 'sh', 'make']);
});

test.each([
  [1, 'before', []],
  [1, 'after', ['first']],
  [2, 'before', ['first']],
  [2, 'after', ['first', 'second']],
  [3, 'after', ['first', 'second', 'third']],
] as const)('at change %i, %s it', async (at, when, expected) => {
  const { signal, made, noted } = await withFault({ at, when });
  expect([signal, made()]).toEqual(['SIGKILL', expected]);
  expect(noted).toMatchObject({ hit: true });
});

test('during a program: it goes on alone', async () => {
  const { signal, made } = await withFault({ at: 2, when: 'during' });
  expect([signal, made()]).toEqual(['SIGKILL', ['first']]);
  await until(() => made().includes('second'));
});

test('one that has happened does not happen again, and without a file, or with one that others may write, none does', async () => {
  expect((await withFault({ at: 1, hit: true })).signal).toBeNull();
  expect((await withFault(undefined)).signal).toBeNull();
  const open = await withFault({ at: 1 }, 0o666);
  expect([open.signal, open.noted?.changes]).toEqual([null, undefined]);
});
