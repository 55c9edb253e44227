import { expect, test } from 'vitest';
import { acquireLock } from '../../src/agent/lock.ts';
import { takeLocks } from '../../src/agent/subject-locks.ts';
import { temporaryDirectory } from './harness.ts';

const SUBJECTS = [
  { key: 'shop', subject: '"shop"' },
  { key: 'use-shop', subject: '"shop"' },
];
const anna = { operation: 'down', actor: 'anna@laptop' };
const ben = { operation: 'upload', actor: 'ben@desk' };

async function held(directory: string, key: string) {
  return await acquireLock({ directory, key, subject: '"shop"', owner: ben, waitMs: 0 });
}

test('whoever waits for one of two keeps nobody from the other', async () => {
  const directory = await temporaryDirectory();
  const upload = await held(directory, 'use-shop');
  let waits = 0;
  const onWait = () => void waits++;
  const both = takeLocks(directory, SUBJECTS, { owner: anna, waitMs: 60_000, onWait });
  await expect.poll(() => waits, { timeout: 10_000 }).toBe(1);
  await (await held(directory, 'shop')).release();
  await upload.release();
  const locks = await both;
  expect(locks).toHaveLength(2);
  // Control: now it has both.
  await expect(held(directory, 'shop')).rejects.toThrow(/by anna@laptop/);
  await expect(held(directory, 'use-shop')).rejects.toThrow(/by anna@laptop/);
  for (const lock of locks) await lock.release();
});

test.each(SUBJECTS)('without waiting, $key in use refuses both and keeps neither', async ({ key }) => {
  const directory = await temporaryDirectory();
  const other = await held(directory, key);
  await expect(takeLocks(directory, SUBJECTS, { owner: anna, waitMs: 0 })).rejects.toThrow(/by ben@desk/);
  await other.release();
  for (const each of SUBJECTS) await (await held(directory, each.key)).release();
});

test('the waiting ends with its time, whichever is in use', async () => {
  const directory = await temporaryDirectory();
  await held(directory, 'use-shop');
  await expect(takeLocks(directory, SUBJECTS, { owner: anna, waitMs: 700 })).rejects.toThrow(/by ben@desk/);
  await (await held(directory, 'shop')).release();
});
