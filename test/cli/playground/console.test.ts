import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { kernelTrouble, readConsole } from '../../../src/cli/playground/console.ts';

it.each([
  '[    3.217] Oops: double fault: 0000 [#1] PREEMPT SMP NOPTI',
  '[    3.219] Kernel panic - not syncing: Fatal exception in interrupt',
  '[   12.001] BUG: kernel NULL pointer dereference, address: 0000000000000008',
  '[   12.001] kernel BUG at mm/slub.c:553!',
])('sees a broken kernel in %s', (line) => {
  expect(kernelTrouble(`ordinary\r\n${line}\r\nafter`)).toEqual([line]);
});

it.each(['', 'Debian GNU/Linux 13', 'systemd[1]: Starting debug.service', 'panicked-helper.service: started'])(
  'sees nothing wrong in "%s"',
  (line) => {
    expect(kernelTrouble(line)).toEqual([]);
  },
);

it('reads only what came after an offset, and a log that is not there yet as empty', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'console-'));
  const log = join(dir, 'console.log');
  expect(await readConsole(log)).toBe('');
  await writeFile(log, 'first boot\nsecond boot\n');
  expect(await readConsole(log, 11)).toBe('second boot\n');
  await rm(dir, { recursive: true });
});
