// Who uses a mount, asked of a real kernel: any directory will do in the place of a volume, since paths decide.
import { spawn } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { findVolumeHolders } from '../../src/lifecycle/holders.ts';
import { temporaryDirectory } from './harness.ts';

const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

test('by its working directory, an open file, its program, or the device itself, and no neighbour of the same beginning', async () => {
  const parent = await temporaryDirectory();
  const volume = join(parent, 'a[b]*c');
  await mkdir(join(volume, 'inside'), { recursive: true });
  await mkdir(`${volume}-other`);
  await writeFile(join(volume, 'file'), 'x');
  await copyFile('/bin/sleep', join(volume, 'program'));
  const start = (file: string, args: string[], cwd = '/') => {
    const child = spawn(file, args, { cwd, stdio: 'ignore' });
    children.push(child);
    return new Promise<number>((resolve) => child.once('spawn', () => resolve(child.pid ?? 0)));
  };
  const users = [
    await start('/bin/sleep', ['1000'], volume),
    await start('/bin/sleep', ['1000'], join(volume, 'inside')),
    await start('/usr/bin/tail', ['-f', join(volume, 'file')]),
    await start(join(volume, 'program'), ['1000']),
    // It has the device itself open.
    await start('/bin/sh', ['-c', 'exec 3</dev/full; exec sleep 1000']),
  ];
  await start('/bin/sleep', ['1000'], `${volume}-other`);
  const look = async () => {
    const held = await findVolumeHolders(createLinuxSystem(), {
      ...{ device: '0:0', kernelName: 'full' },
      mountPoint: volume,
    });
    return held.processes.map(({ pid }) => pid).sort((a, b) => a - b);
  };
  // tail opens its file after it has started.
  await expect.poll(look, { timeout: 20_000 }).toEqual(users.sort((a, b) => a - b));
});
