// What counts as "not there": another repository's loop device may go between the opening of its file and the reading.
import { expect, test } from 'vitest';
import { orAbsent } from '../../src/agent/linux-files.ts';

const failing = (code: string) => Promise.reject(Object.assign(new Error(`${code}: read`), { code }));

test.each(['ENOENT', 'ENOTDIR', 'ENODEV', 'ESRCH'])('%s is absent', async (code) => {
  expect(await orAbsent(failing(code))).toBeUndefined();
});

test.each(['EIO', 'EACCES'])('control: %s is an error', async (code) => {
  await expect(orAbsent(failing(code))).rejects.toMatchObject({ code });
});
