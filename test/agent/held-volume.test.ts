// A volume that does not close although nobody was seen to hold it: who has come since is named, and where there is nobody to be
// seen, that is said. It needs root.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { unmountRepo } from '../../src/agent/repo-volume.ts';
import { GUID, MIB, PlayedVolume } from './played-volume.ts';

let volume: PlayedVolume;
const children: ReturnType<typeof spawn>[] = [];

beforeEach(() => {
  volume = new PlayedVolume(64 * MIB, () => undefined);
  mkdirSync(volume.paths.mountPoint, { recursive: true });
  volume.open();
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  volume.destroy();
});

/** It is mounted only as the kernel's table tells here, so that umount(8) fails; `meanwhile` is what happens just before. */
function unmount(meanwhile: () => Promise<void> = async () => undefined) {
  const { context } = volume.contextOf({ isMounted: true });
  const { system } = context;
  const run: typeof system.run = async (command, sink) => {
    if (command.file === 'umount') await meanwhile();
    return system.run(command, sink);
  };
  return unmountRepo({ repo: GUID, force: false }, { ...context, system: { ...system, run } });
}

test('somebody has come since: by name', async () => {
  const enter = async () => {
    const child = spawn('/bin/sleep', ['1000'], { cwd: volume.paths.mountPoint, stdio: 'ignore' });
    children.push(child);
    await new Promise((resolve) => child.once('spawn', resolve));
  };
  await expect(unmount(enter)).rejects.toMatchObject({
    code: 'VOLUME_IN_USE',
    message: expect.stringMatching(/^the volume of repository "shop" is still held by sleep \(pid \d+/),
    hint: 'rdc repo unmount shop --force',
  });
});

test('nobody is to be seen', async () => {
  await expect(unmount()).rejects.toMatchObject({
    code: 'VOLUME_IN_USE',
    message: expect.stringMatching(
      /^the volume of repository "shop" cannot be closed, and nobody is seen who holds it: /,
    ),
    hint: expect.stringContaining('lsns'),
  });
});
