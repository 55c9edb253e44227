// Starts a virtual machine and returns when a person could log in. Decides nothing about accounts, contexts or images.
// It never leaves a QEMU behind that nobody knows of: on any failure or abort the process is ended.
import { mkdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RdcError } from '../../protocol/errors.ts';
import { IMAGE_FILES } from './build-image.ts';
import { consoleSize, kernelTrouble, readConsole } from './console.ts';
import { exec, lastLines } from './exec.ts';
import { REGISTRY_MIRROR } from './guest-files.ts';
import { ensureIdentity, exists, type MachineIdentity } from './identity.ts';
import { isRunning, readRecord, VM_FILES, type VmInstance, type VmRecord, writeRecord } from './instance.ts';
import { killProcess, processIdentity } from './process-identity.ts';
import { type Accelerator, type Disk, type DiskCache, defaultCpus, qemuArgs } from './qemu-args.ts';
import type { Flavour } from './recipe.ts';
import { type ReportStep, reported } from './report.ts';
import { hasSshBanner, sshRun, writeKnownHosts } from './ssh.ts';

export interface StartOptions {
  name: string;
  /** Where the machine keeps its disks, keys, log and record. */
  dir: string;
  /** Directory of a built image. */
  image: string;
  flavour: Flavour;
  accel: Accelerator;
  qemuVersion: number;
  cpus?: number;
  memoryMiB?: number;
  dataDiskGiB?: number;
  diskCache?: DiskCache;
  /** What QEMU opens, raw, in place of the root disk in the directory: tests serve one that forgets. */
  servedRoot?: string;
  report: ReportStep;
  signal?: AbortSignal | undefined;
  /** For the boot, until a login works. */
  timeoutMs?: number;
}

const DEFAULTS = { memoryMiB: 3072, dataDiskGiB: 20, timeoutMs: 180_000 } as const;

export async function startVm(options: StartOptions): Promise<VmInstance> {
  const { dir, signal, report } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const known = await readRecord(dir);
  if (known !== undefined && (await isRunning(known))) return describe(options.name, dir, known);
  await ensureDisks(options);
  const identity = await ensureIdentity(dir, options.name, signal);
  const boot = () =>
    reported(report, `boot the virtual machine (${options.accel === 'kvm' ? 'KVM' : 'emulated'})`, () =>
      bootOnce(options, identity, known?.sshPort),
    );
  try {
    return await boot();
  } catch (error) {
    if (!(error instanceof KernelTrouble)) throw error;
    report({ title: 'the guest kernel broke while booting; once more', state: 'info', detail: error.message });
    return await boot();
  }
}

/** The guest's kernel reported a bug or panicked; booting again may help. */
class KernelTrouble extends RdcError {}

async function bootOnce(options: StartOptions, identity: MachineIdentity, port?: number): Promise<VmInstance> {
  const record = await launch(options, identity, port);
  try {
    await writeRecord(options.dir, record);
    const vm = await describe(options.name, options.dir, record);
    await writeKnownHosts(vm.knownHostsFile, vm.sshPort, vm.hostKeys);
    await waitForLogin(vm, record, options);
    return vm;
  } catch (error) {
    await killProcess(record.pid, record.process);
    throw error;
  }
}

export async function describe(name: string, dir: string, record: VmRecord): Promise<VmInstance> {
  const identity = await ensureIdentity(dir, name);
  return {
    ...{ name, dir, sshHost: '127.0.0.1', sshPort: record.sshPort },
    users: { root: 'root', deploy: 'deploy', nosudo: 'nosudo' },
    ...{ identityFile: identity.identityFile, hostKeys: identity.hostKeys },
    knownHostsFile: join(dir, VM_FILES.knownHosts),
    consoleLog: join(dir, VM_FILES.console),
    ...{ pid: record.pid, accel: record.accel, flavour: record.flavour, registryMirror: REGISTRY_MIRROR },
  };
}

async function ensureDisks(options: StartOptions): Promise<void> {
  const root = join(options.dir, VM_FILES.root);
  const data = join(options.dir, VM_FILES.data);
  const base = join(options.image, IMAGE_FILES.root(options.flavour));
  if (!(await exists(root))) await exec(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', root]);
  if (!(await exists(data))) {
    await exec(['qemu-img', 'create', '-q', '-f', 'qcow2', data, `${options.dataDiskGiB ?? DEFAULTS.dataDiskGiB}G`]);
  }
}

/** Starts QEMU; a port that somebody took in between is no failure, the next one is tried. */
async function launch(options: StartOptions, identity: MachineIdentity, port?: number): Promise<VmRecord> {
  const { dir } = options;
  const resources = {
    cpus: options.cpus ?? defaultCpus(options.accel, options.qemuVersion),
    memoryMiB: options.memoryMiB ?? DEFAULTS.memoryMiB,
  };
  const consoleOffset = await consoleSize(join(dir, VM_FILES.console));
  for (let attempt = 0; ; attempt += 1) {
    options.signal?.throwIfAborted();
    await rm(join(dir, VM_FILES.pid), { force: true });
    const sshPort = (attempt === 0 ? port : undefined) ?? (await freePort());
    const cache = options.diskCache ?? 'writeback';
    const args = qemuArgs({
      ...{ accel: options.accel, qemuVersion: options.qemuVersion, ...resources, sshPort },
      hostMemoryMiB: Math.floor(totalmem() / 1024 ** 2),
      ...{ name: options.name, machineId: identity.machineId, smbiosFiles: identity.smbiosFiles },
      ...{ kernel: join(options.image, IMAGE_FILES.kernel), initrd: join(options.image, IMAGE_FILES.initrd) },
      disks: [rootDisk(options), { file: VM_FILES.data }].map((disk) => ({ ...disk, cache })),
      ...{ consoleLog: VM_FILES.console, qmpSocket: VM_FILES.qmp, pidFile: VM_FILES.pid },
    });
    const { exitCode, stderr } = await exec(['qemu-system-x86_64', ...args], { cwd: dir, allow: [1] });
    if (exitCode === 0) {
      const pid = Number(await readFile(join(dir, VM_FILES.pid), 'utf8'));
      const process = (await processIdentity(pid)) ?? 'ended';
      const { flavour, image, accel } = options;
      return { flavour, image, sshPort, ...resources, accel, pid, process, consoleOffset };
    }
    if (!stderr.includes('host forwarding rule') || attempt >= 4) {
      throw new RdcError('FAILED', 'QEMU does not start', { cause: lastLines(stderr, 5) });
    }
  }
}

function rootDisk({ servedRoot }: StartOptions): Omit<Disk, 'cache'> {
  return servedRoot === undefined ? { file: VM_FILES.root } : { file: servedRoot, format: 'raw' };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** As deploy, not root: until the system is up, PAM turns everybody else away. */
async function waitForLogin(vm: VmInstance, record: VmRecord, options: StartOptions): Promise<void> {
  const { signal } = options;
  const deadline = Date.now() + (options.timeoutMs ?? DEFAULTS.timeoutMs);
  for (;;) {
    signal?.throwIfAborted();
    const log = await readConsole(vm.consoleLog, record.consoleOffset);
    const trouble = kernelTrouble(log);
    if (trouble.length > 0) throw new KernelTrouble('FAILED', `the guest kernel broke: ${trouble[0]}`);
    if (!(await isRunning(record))) throw notReady('ended while booting', vm, log);
    if (Date.now() > deadline) throw notReady('does not answer', vm, log);
    if (await hasSshBanner(vm.sshHost, vm.sshPort, 2000)) {
      if (await canLogIn(vm, signal)) return;
    }
    await sleep(100, undefined, { signal });
  }
}

/** A login that hangs on a machine that is busy starting is no answer yet. */
async function canLogIn(vm: VmInstance, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    return (await sshRun(vm, vm.users.deploy, 'true', { signal, timeoutMs: 30_000 })).exitCode === 0;
  } catch (error) {
    if (error instanceof RdcError && error.code === 'TIMED_OUT') return false;
    throw error;
  }
}

function notReady(what: string, vm: VmInstance, log: string): RdcError {
  return new RdcError('TIMED_OUT', `the virtual machine "${vm.name}" ${what}`, {
    hint: `read its console: ${vm.consoleLog}`,
    cause: lastLines(log, 30),
  });
}
