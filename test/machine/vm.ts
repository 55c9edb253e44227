// A throw-away virtual machine for a test: own directory, own port, own disks, gone at the end whatever happened.
// Machines share few cores: one per worker of the test run at a time, on the whole workstation (a lock that dies with its
// holder). An emulated one keeps about one and a half cores busy.
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kernelTrouble, readConsole } from '../../src/cli/playground/console.ts';
import { type ExecResult, exec, lastLines } from '../../src/cli/playground/exec.ts';
import { type FileLock, lockFile } from '../../src/cli/playground/file-lock.ts';
import { playgroundCache } from '../../src/cli/playground/image-cache.ts';
import { VM_FILES, type VmInstance } from '../../src/cli/playground/instance.ts';
import { opsUp, PLAYGROUND } from '../../src/cli/playground/ops.ts';
import type { DiskCache } from '../../src/cli/playground/qemu-args.ts';
import type { Flavour } from '../../src/cli/playground/recipe.ts';
import type { StepReport } from '../../src/cli/playground/report.ts';
import { sshArgs } from '../../src/cli/playground/ssh.ts';
import { powerCut, stopVm } from '../../src/cli/playground/stop.ts';

export interface VmOptions {
  flavour?: Flavour;
  /** Default: one. Two machines run at a time, and emulated processors that wait for each other's turn took a quarter of it. */
  cpus?: number;
  memoryMiB?: number;
  /** unsafe (default) is fastest; power-cut tests want writeback. */
  diskCache?: DiskCache;
  /** Directory of a machine that is off: the new one is that machine, its disks copied on write. It must outlive it. */
  origin?: string;
  /**
   * Gets the directory of a machine made from `origin` before its first start and serves its root disk from then on. Returns
   * what QEMU, running in that directory, opens as a raw disk.
   */
  serveRoot?: (dir: string) => Promise<string>;
  /** Start without waiting for other machines to end. */
  shareCpu?: boolean;
  report?: (step: StepReport) => void;
}

export interface SshOptions {
  input?: string;
  /** Default: five minutes. A hung session must not eat the whole suite's time. */
  timeoutMs?: number;
}

export type TestVm = VmInstance & {
  /** A shell line as it is, or words, which are quoted. Any exit code is an answer. */
  ssh(user: keyof VmInstance['users'], command: string | readonly string[], options?: SshOptions): Promise<ExecResult>;
  /** Like ssh, as root, but throws unless the command exits with 0. Returns stdout without its last newline. */
  root(command: string | readonly string[], options?: SshOptions): Promise<string>;
  /** kill -9 of the machine. */
  powerCut(): Promise<void>;
  /** Clean shutdown; resolves once the machine is off. Milliseconds, for one that has much to end. */
  stop(timeoutMs?: number): Promise<{ clean: boolean }>;
  /** Starts it again after powerCut or stop: same disks, keys and port. */
  start(): Promise<void>;
  /** Shuts down and starts again within the same virtual hardware session. */
  reboot(): Promise<void>;
  /** The end of the serial console. */
  consoleTail(lines?: number): Promise<string>;
  /** Ends the machine and removes everything of it. */
  destroy(): Promise<void>;
};

const WORKER_LOCK = `test-vm-${process.env.VITEST_POOL_ID ?? '1'}.lock`;

/** Starts a machine. The caller must `destroy()` it; `withVm` does so by itself. */
export async function startTestVm(options: VmOptions = {}): Promise<TestVm> {
  const cacheDir = playgroundCache(process.env);
  await mkdir(cacheDir, { recursive: true });
  const lock = options.shareCpu === true ? undefined : await lockFile(join(cacheDir, WORKER_LOCK));
  const stateDir = await mkdtemp(join(tmpdir(), 'rdc-vm-'));
  const steps: StepReport[] = [];
  const report = options.report ?? ((step: StepReport) => void steps.push(step));
  const { flavour, cpus = 1, memoryMiB, diskCache = 'unsafe' } = options;
  const wanted = { cpus, ...(flavour ? { flavour } : {}), ...(memoryMiB ? { memoryMiB } : {}) };
  try {
    if (options.origin !== undefined) await copyMachine(options.origin, join(stateDir, PLAYGROUND));
    const servedRoot = await options.serveRoot?.(join(stateDir, PLAYGROUND));
    const served = servedRoot === undefined ? {} : { servedRoot };
    const start = async () => (await opsUp({ ...wanted, ...served, diskCache, stateDir, cacheDir, report })).vm;
    return testVm(await start(), { stateDir, start, lock });
  } catch (error) {
    await discard(join(stateDir, PLAYGROUND), stateDir, lock);
    throw error;
  }
}

/** Runs `work` with a machine and removes it afterwards; a failure shows the end of the machine's console. */
export async function withVm<T>(options: VmOptions, work: (vm: TestVm) => Promise<T>): Promise<T> {
  const vm = await startTestVm(options);
  try {
    return await work(vm);
  } catch (error) {
    console.error(`--- console of the virtual machine\n${await vm.consoleTail(40)}\n---`);
    throw error;
  } finally {
    await vm.destroy();
  }
}

async function copyMachine(origin: string, dir: string): Promise<void> {
  const { root, data, console, qmp, pid } = VM_FILES;
  const disks = [root, data];
  const skipped = [...disks, console, qmp, pid].map((file) => join(origin, file));
  await cp(origin, dir, { recursive: true, filter: (source) => !skipped.includes(source) });
  for (const file of disks) {
    await exec(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', join(origin, file), '-F', 'qcow2', join(dir, file)]);
  }
}

interface Held {
  stateDir: string;
  start: () => Promise<VmInstance>;
  lock: FileLock | undefined;
}

function testVm(instance: VmInstance, held: Held): TestVm {
  const control = Object.entries({
    BatchMode: 'yes',
    ControlMaster: 'auto',
    ControlPath: join(held.stateDir, 'ssh-%r'),
    ControlPersist: '60',
    ServerAliveInterval: '5',
    ServerAliveCountMax: '6',
  }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const vm: TestVm = {
    ...instance,
    async ssh(user, command, options = {}) {
      const line = typeof command === 'string' ? command : command.map(quote).join(' ');
      return exec(['ssh', ...sshArgs(vm, user, control), '--', line], {
        timeoutMs: 300_000,
        ...options,
        allow: Array.from({ length: 256 }, (_, code) => code),
      });
    },
    async root(command, options) {
      const result = await vm.ssh('root', command, options);
      if (result.exitCode === 0) return result.stdout;
      throw new Error(`"${command}" exited with ${result.exitCode}\n${result.stdout}\n${result.stderr}`);
    },
    async powerCut() {
      await powerCut(vm.dir);
    },
    async stop(timeoutMs) {
      const trouble = kernelTrouble(await readConsole(vm.consoleLog));
      if (trouble.length > 0) throw new Error(`the guest kernel broke: ${trouble[0]}`);
      return stopVm(vm.name, vm.dir, timeoutMs === undefined ? {} : { timeoutMs });
    },
    async start() {
      Object.assign(vm, await held.start());
    },
    async reboot() {
      const before = await vm.root('cat /proc/sys/kernel/random/boot_id');
      await vm.ssh('root', 'systemctl --no-block reboot');
      const deadline = Date.now() + 300_000;
      for (;;) {
        const { exitCode, stdout } = await freshLogin(vm, 'cat /proc/sys/kernel/random/boot_id');
        if (exitCode === 0 && stdout !== before) return;
        if (Date.now() > deadline) throw new Error(`no reboot within 5 minutes\n${await vm.consoleTail()}`);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    },
    consoleTail: async (lines = 40) => lastLines(await readConsole(vm.consoleLog), lines),
    destroy: () => discard(vm.dir, held.stateDir, held.lock),
  };
  return vm;
}

/** As deploy and past the shared connection: the old one may still hang on a machine that is going down. */
async function freshLogin(vm: TestVm, command: string): Promise<ExecResult> {
  const extra = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', '-o', 'ControlPath=none'];
  const allow = Array.from({ length: 256 }, (_, code) => code);
  const attempt = exec(['ssh', ...sshArgs(vm, 'deploy', extra), '--', command], { timeoutMs: 30_000, allow });
  return attempt.catch((error: Error) => ({ exitCode: 255, stdout: '', stderr: error.message }));
}

async function discard(dir: string, stateDir: string, lock: FileLock | undefined): Promise<void> {
  await powerCut(dir);
  await rm(stateDir, { recursive: true, force: true });
  await lock?.release();
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
