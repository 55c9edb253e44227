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

interface Circumstances {
  /** Happens just before umount(8). */
  meanwhile?: () => Promise<void>;
  force?: boolean;
  /** Of every process. */
  cgroup?: string;
}

/** It is mounted only as the kernel's table tells here, so that umount(8) fails. */
function unmount({ meanwhile = async () => undefined, force = false, cgroup }: Circumstances = {}) {
  const { context } = volume.contextOf({ isMounted: true });
  const { system } = context;
  const readFile: typeof system.readFile = async (path) =>
    cgroup !== undefined && path.endsWith('/cgroup') ? `0::${cgroup}\n` : system.readFile(path);
  const run: typeof system.run = async (command, sink) => {
    if (command.file === 'umount') await meanwhile();
    return system.run(command, sink);
  };
  return unmountRepo({ repo: GUID, force }, { ...context, system: { ...system, run, readFile } });
}

async function enter() {
  const child = spawn('/bin/sleep', ['1000'], { cwd: volume.paths.mountPoint, stdio: 'ignore' });
  children.push(child);
  await new Promise((resolve) => child.once('spawn', resolve));
}

test('what makes the filesystem smaller is ended by nobody, also with --force; control: everybody else is', async () => {
  await enter();
  const cgroup = `/system.slice/rediacc-resize-${GUID}.service`;
  await expect(unmount({ force: true, cgroup })).rejects.toMatchObject({
    code: 'VOLUME_IN_USE',
    message: expect.stringContaining('is being resized'),
    hint: expect.stringMatching(/^rdc repo resize shop --size /),
  });
  expect([children[0]?.exitCode, children[0]?.signalCode]).toEqual([null, null]);
  await expect(unmount({ force: true })).rejects.toMatchObject({ code: 'VOLUME_IN_USE' });
  expect(children[0]?.signalCode).toBe('SIGTERM');
});

test('somebody has come since: by name', async () => {
  await expect(unmount({ meanwhile: enter })).rejects.toMatchObject({
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
