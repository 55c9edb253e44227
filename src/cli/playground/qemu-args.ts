// The QEMU command line, from plain data. Pure: start.ts runs it.

export type Accelerator = 'kvm' | 'tcg';
/** writeback survives a crash of the guest; unsafe ignores flushes and is for machines that are thrown away. */
export type DiskCache = 'writeback' | 'unsafe';

export interface Disk {
  /** As QEMU names it: a file, or the URI of one that is served. */
  file: string;
  /** Default: qcow2. */
  format?: 'qcow2' | 'raw';
  cache: DiskCache;
}

export interface QemuOptions {
  /** Host name of the guest. */
  name: string;
  accel: Accelerator;
  /** Major version of QEMU. */
  qemuVersion: number;
  cpus: number;
  memoryMiB: number;
  /** Of the workstation. */
  hostMemoryMiB: number;
  kernel: string;
  initrd: string;
  /** Appended to the kernel command line. */
  machineId: string;
  disks: readonly Disk[];
  sshPort: number;
  /** Files with one SMBIOS OEM string each: systemd reads its credentials there. Not argv, which everybody can read. */
  smbiosFiles: readonly string[];
  consoleLog: string;
  qmpSocket: string;
  pidFile: string;
}

const KERNEL_LINE = 'console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off audit=0';

/** Translated code is found again by its address: a libc at the same place in every process saves a quarter of the boot. */
const TCG_KERNEL_LINE = `${KERNEL_LINE} norandmaps`;

export function qemuArgs(options: QemuOptions): string[] {
  const kernelLine = options.accel === 'tcg' ? TCG_KERNEL_LINE : KERNEL_LINE;
  return [
    ...['-machine', 'q35', ...accelArgs(options.accel, options)],
    ...['-smp', String(options.cpus), '-m', String(options.memoryMiB), '-nodefaults', '-no-user-config'],
    ...['-kernel', options.kernel, '-initrd', options.initrd],
    ...['-append', `${kernelLine} systemd.machine_id=${options.machineId} systemd.hostname=${options.name}`],
    ...options.disks.flatMap(diskArgs),
    ...['-netdev', `user,id=n0,hostfwd=tcp:127.0.0.1:${options.sshPort}-:22`, '-device', 'virtio-net-pci,netdev=n0'],
    ...['-device', 'virtio-rng-pci'],
    ...options.smbiosFiles.flatMap((file) => ['-smbios', `type=11,path=${file}`]),
    ...['-display', 'none', '-chardev', `file,id=console,path=${options.consoleLog},append=on`],
    ...['-serial', 'chardev:console', '-name', options.name],
    ...['-qmp', `unix:${options.qmpSocket},server=on,wait=off`],
    ...['-pidfile', options.pidFile, '-daemonize'],
  ];
}

/**
 * What makes an emulated processor slow and its guest no better: guards of the kernel against itself, and wide registers that
 * are saved at every switch of tasks. Without them a setup and two starts of a repository took a third less (docs/performance.md).
 */
const NOT_EMULATED = ['smap', 'smep', 'pku', 'pks', 'umip', 'la57', 'fsgsbase', 'xsave', 'avx', 'avx2', 'f16c', 'fma'];

/**
 * QEMU before 8 miscompiles `lock cmpxchg16b` under multi-threaded emulation, and the guest panics now and then:
 * there the instruction is hidden from the guest.
 */
export function accelArgs(
  accel: Accelerator,
  { qemuVersion, hostMemoryMiB }: Pick<QemuOptions, 'qemuVersion' | 'hostMemoryMiB'>,
): string[] {
  if (accel === 'kvm') return ['-accel', 'kvm', '-cpu', 'host'];
  // A few docker daemons and databases fill 500 MiB with translated code; when it is full, all of it is thrown away and made
  // again. The memory is taken as it fills; QEMU has no use for more than 2 GiB.
  const room = Math.min(2048, Math.max(512, Math.floor(hostMemoryMiB / 8)));
  const without = qemuVersion < 8 ? ['cx16', ...NOT_EMULATED] : NOT_EMULATED;
  const cpu = ['max', ...without.map((feature) => `${feature}=off`)].join(',');
  return ['-accel', `tcg,thread=multi,tb-size=${room}`, '-cpu', cpu];
}

/**
 * Two, and one where a QEMU before 8.1 emulates: while one processor patches the kernel's code (jump labels, at each start of a
 * docker daemon), the other one keeps a translation with the breakpoint of the patch in it, and the guest now and then panics
 * (`Oops: int3`; linux-kernel, July 2023, "qemu-x86_64 booting with 8.0.0 stil see int3").
 */
export function defaultCpus(accel: Accelerator, qemuVersion: number): number {
  return accel === 'tcg' && qemuVersion < 9 ? 1 : 2;
}

function diskArgs({ file, format = 'qcow2', cache }: Disk, index: number): string[] {
  const drive = `if=none,id=d${index},file=${file},format=${format},cache=${cache},discard=unmap`;
  return ['-drive', drive, '-device', `virtio-blk-pci,drive=d${index}`];
}
