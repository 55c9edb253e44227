// Who has a device open, asked of a real kernel. It needs root.
import { spawn, spawnSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { findDeviceUsers } from '../../src/agent/device-users.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { temporaryDirectory } from './harness.ts';

test('a process that has a loop device open is named, until it ends', async () => {
  const image = join(await temporaryDirectory(), 'image');
  await writeFile(image, '');
  truncateSync(image, 1024 ** 2);
  const device = spawnSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).stdout.trim();
  onTestFinished(() => void spawnSync('losetup', ['--detach', device]));
  const kernelName = device.slice('/dev/'.length);
  const users = async () => (await findDeviceUsers(createLinuxSystem(), [], [{ kernelName }])).get(kernelName);
  expect(await users()).toBeUndefined();
  const child = spawn('sh', ['-c', 'exec 3<"$0"; exec sleep 1000', device]);
  await vi.waitFor(async () => expect(await users()).toEqual([`sleep (pid ${child.pid})`]), { timeout: 20_000 });
  child.kill('SIGKILL');
  await vi.waitFor(async () => expect(await users()).toBeUndefined(), { timeout: 20_000 });
});
