import { expect, it } from 'vitest';
import { accelArgs, defaultCpus, type QemuOptions, qemuArgs } from '../../../src/cli/playground/qemu-args.ts';

const options: QemuOptions = {
  name: 'playground',
  accel: 'tcg',
  qemuVersion: 10,
  cpus: 2,
  memoryMiB: 3072,
  hostMemoryMiB: 24_000,
  kernel: '/cache/vmlinux',
  initrd: '/cache/initrd',
  machineId: '0123456789abcdef0123456789abcdef',
  disks: [
    { file: 'root.qcow2', cache: 'writeback' },
    { file: 'data.qcow2', cache: 'unsafe' },
  ],
  sshPort: 2222,
  smbiosFiles: ['credential.smbios'],
  consoleLog: 'console.log',
  qmpSocket: 'qmp.sock',
  pidFile: 'qemu.pid',
};

it('hides cmpxchg16b from the guest only where QEMU miscompiles it', () => {
  expect(accelArgs('tcg', { ...options, qemuVersion: 7 }).at(-1)).toMatch(/^max,.*cx16=off/);
  expect(accelArgs('tcg', options).at(-1)).toMatch(/^max,(?!.*cx16)/);
  expect(accelArgs('kvm', options)).toEqual(['-accel', 'kvm', '-cpu', 'host']);
});

it.each([
  ['kvm', 7, 2],
  ['tcg', 7, 1],
  ['tcg', 10, 2],
] as const)('%s of QEMU %d begins with %d processors', (accel, qemuVersion, cpus) => {
  expect(defaultCpus(accel, qemuVersion)).toBe(cpus);
});

it.each([
  [2_000, 512],
  [8_192, 1024],
  [64_000, 2048],
])('with %d MiB on the workstation, %d of them hold translated code', (hostMemoryMiB, room) => {
  expect(accelArgs('tcg', { ...options, hostMemoryMiB })).toContain(`tcg,thread=multi,tb-size=${room}`);
});

it('forwards ssh on the loopback only and keeps credentials out of argv', () => {
  const args = qemuArgs(options);
  expect(args).toContain('user,id=n0,hostfwd=tcp:127.0.0.1:2222-:22');
  expect(args).toContain('type=11,path=credential.smbios');
});

it('gives the disks in order, each with its own caching', () => {
  const drives = qemuArgs(options).filter((word) => word.startsWith('if=none'));
  expect(drives).toEqual([
    'if=none,id=d0,file=root.qcow2,format=qcow2,cache=writeback,discard=unmap',
    'if=none,id=d1,file=data.qcow2,format=qcow2,cache=unsafe,discard=unmap',
  ]);
});

it('opens a disk that is served as the raw one it is', () => {
  const disks: QemuOptions['disks'] = [{ file: 'nbd+unix:///?socket=root.nbd', format: 'raw', cache: 'writeback' }];
  expect(qemuArgs({ ...options, disks })).toContain(
    'if=none,id=d0,file=nbd+unix:///?socket=root.nbd,format=raw,cache=writeback,discard=unmap',
  );
});

it('adds to the console log, so that the log of the boot before stays readable', () => {
  expect(qemuArgs(options)).toContain('file,id=console,path=console.log,append=on');
});
