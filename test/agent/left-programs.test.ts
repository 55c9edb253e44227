// What a killed agent has left in its cgroup, with real processes in a cgroup of their own. Needs root and a cgroup2 file system.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { endLeftPrograms } from '../../src/agent/left-programs.ts';
import { temporaryDirectory, until } from './harness.ts';

function makeCgroup(): string {
  const root = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) => existsSync(`${path}/cgroup.procs`));
  if (root === undefined) throw new Error('this test needs a cgroup2 file system');
  const cgroup = `${root}/rdc-left-${process.pid}-${Date.now()}`;
  mkdirSync(cgroup);
  onTestFinished(() => rmdirSync(cgroup));
  return cgroup;
}

/** A program of that name that runs so long, or ignores being asked to end. */
async function start(cgroup: string, directory: string, name: string, seconds: string): Promise<ChildProcess> {
  const program = join(directory, name);
  copyFileSync('/bin/sleep', program);
  chmodSync(program, 0o755);
  const words = ['-c', 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', 'join', cgroup, program, seconds];
  const child = spawn('/bin/sh', words, { stdio: 'ignore' });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  await until(() => programName(child.pid) === name);
  return child;
}

function programName(pid: number | undefined): string {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
}

test('what only waits or is made anew is ended; a cryptsetup comes to its end first', async () => {
  const directory = await temporaryDirectory();
  const cgroup = makeCgroup();
  const [copy, short] = [
    await start(cgroup, directory, 'cp', '1000'),
    await start(cgroup, directory, 'cryptsetup', '1'),
  ];
  const met = await endLeftPrograms(cgroup);
  expect(met.map((words) => words.slice(directory.length + 1)).sort()).toEqual(['cp 1000', 'cryptsetup 1']);
  // Which its parent learns a moment later.
  await until(() => copy.signalCode !== null && short.exitCode !== null);
  expect([copy.signalCode, short.signalCode, short.exitCode]).toEqual(['SIGTERM', null, 0]);
});

test('one that does not come to its end is ended, and nothing is met where nothing is left', async () => {
  const directory = await temporaryDirectory();
  const cgroup = makeCgroup();
  const hanging = await start(cgroup, directory, 'cryptsetup', '1000');
  await endLeftPrograms(cgroup, { waitMs: 100, endMs: 1000 });
  await until(() => hanging.signalCode === 'SIGTERM');
  expect(await endLeftPrograms(cgroup)).toEqual([]);
});

test('an installation is left alone, with all that it has started; control: the same programs without it are ended', async () => {
  const directory = await temporaryDirectory();
  const cgroup = makeCgroup();
  copyFileSync('/bin/sh', join(directory, 'apt-get'));
  chmodSync(join(directory, 'apt-get'), 0o755);
  const words = ['-c', 'echo $$ >"$1/cgroup.procs" && exec "$2" -c "sleep 1000 & wait"', 'join', cgroup];
  const install = spawn('/bin/sh', [...words, join(directory, 'apt-get')], { stdio: 'ignore' });
  const closed = once(install, 'close');
  const pids = () => readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  onTestFinished(async () => {
    for (const pid of pids()) process.kill(pid, 'SIGKILL');
    await closed;
  });
  await until(() => pids().length === 2 && pids().some((pid) => programName(pid) === 'sleep'));
  const both = pids();
  expect(await endLeftPrograms(cgroup)).toEqual([]);
  expect(pids()).toEqual(both);
  process.kill(install.pid ?? 0, 'SIGKILL');
  await closed;
  expect(await endLeftPrograms(cgroup)).toEqual(['sleep 1000']);
});
