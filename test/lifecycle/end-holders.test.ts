// Ending who holds a volume: real processes and signals; the mounts on a model machine.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { endMounts, endProcesses, mayEnd } from '../../src/lifecycle/end-holders.ts';
import type { Holder } from '../../src/lifecycle/holders.ts';
import { parseStat } from '../../src/lifecycle/process-stat.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function running(script: string): Promise<{ holder: Holder; ended: Promise<unknown[]> }> {
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const pid = child.pid ?? 0;
  const { startTicks } = parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'));
  const holder = { pid, startTicks, isKernelThread: false, process: 'bash', cgroup: '', ownView: false };
  return { holder, ended };
}

/** Patience passes at once: only the order of signals is looked at. */
const system = { ...createLinuxSystem(), now: hurried() };
function hurried() {
  let calls = 0;
  return () => performance.now() + 2_000 * calls++;
}

describe('a process', () => {
  test('is told to end, and not killed where it does', async () => {
    const { holder, ended } = await running('trap "exit 7" TERM; echo; while :; do sleep 0.1; done');
    await endProcesses(createLinuxSystem(), [holder], process.pid);
    expect(await ended).toEqual([7, null]);
  });

  test('that does not listen is killed', async () => {
    const { holder, ended } = await running('trap "" TERM; echo; while :; do sleep 0.1; done');
    await endProcesses(system, [holder], process.pid);
    expect(await ended).toEqual([null, 'SIGKILL']);
  });

  test('of the same pid that was started later is left alone', async () => {
    const { holder } = await running('echo; sleep 1000');
    await endProcesses(system, [{ ...holder, startTicks: holder.startTicks - 1 }], process.pid);
    expect(parseStat(await readFile(`/proc/${holder.pid}/stat`, 'utf8')).startTicks).toBe(holder.startTicks);
  });

  test('is never the first one, this program, or a thread of the kernel', () => {
    const one = { pid: 7, isKernelThread: false };
    expect(
      [one, { ...one, pid: 1 }, { ...one, pid: 42 }, { ...one, isKernelThread: true }].map((it) => mayEnd(it, 42)),
    ).toEqual([true, false, false, false]);
  });

  test('this very program is not ended, whoever asks', async () => {
    const { startTicks } = parseStat(await readFile('/proc/self/stat', 'utf8'));
    const self = { pid: process.pid, startTicks, isKernelThread: false, process: 'node', cgroup: '', ownView: false };
    await endProcesses(system, [self], process.pid);
  });
});

test('mounts go in the order in which they are given, plainly, then the loop devices', async () => {
  const machine = new FakeSystem();
  machine.program('umount', () => '').program('losetup', () => '');
  await endMounts(machine, { processes: [], mounts: ['/m/a/b', '/m/a'], loops: ['/dev/loop5'], stacked: [] });
  expect(machine.journal).toEqual(['run umount -- /m/a/b', 'run umount -- /m/a', 'run losetup --detach /dev/loop5']);
});

test('one that is in use ends it there', async () => {
  const machine = new FakeSystem();
  machine.program('umount', () => ({ exitCode: 32, stderr: 'target is busy' }));
  await expect(
    endMounts(machine, { processes: [], mounts: ['/m/a/b', '/m/a'], loops: [], stacked: [] }),
  ).rejects.toThrow();
  expect(machine.journal).toEqual(['run umount -- /m/a/b']);
});
