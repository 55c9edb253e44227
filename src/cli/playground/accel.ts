// KVM or emulation. That /dev/kvm opens says little: inside another hypervisor it may hang or crash an ordinary kernel.
// So the guest's own kernel is booted as far as its ramdisk, within a few seconds, and the answer is remembered.
import { access, constants, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { IMAGE_FILES } from './build-image.ts';
import { exec } from './exec.ts';
import { PROBE_MARKER } from './kernel.ts';
import type { Accelerator } from './qemu-args.ts';
import { type ReportStep, reported } from './report.ts';

const PROBE_LIMIT_MS = 5000;

export interface AccelOptions {
  cacheDir: string;
  /** Directory of a built image: its kernel is the one that has to run. */
  image: string;
  qemuVersion: number;
  report: ReportStep;
  signal?: AbortSignal | undefined;
}

export async function chooseAccelerator(options: AccelOptions): Promise<Accelerator> {
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!usable) return 'tcg';
  const verdicts = join(options.cacheDir, 'accelerator');
  const file = join(verdicts, `${release()}-qemu${options.qemuVersion}`);
  const known = await readFile(file, 'utf8').catch(() => '');
  if (known === 'kvm' || known === 'tcg') return known;
  const works = await reported(options.report, 'check whether KVM works here', () => probe(options));
  if (!works) {
    options.report({
      title: 'KVM does not work here, the machine is emulated (about ten times slower)',
      state: 'info',
    });
  }
  const verdict = works ? 'kvm' : 'tcg';
  await mkdir(verdicts, { recursive: true });
  await writeFile(file, verdict);
  return verdict;
}

async function probe({ image, cacheDir, signal }: AccelOptions): Promise<boolean> {
  const log = join(cacheDir, `probe-${process.pid}.log`);
  const line = 'console=ttyS0 quiet panic=-1 mitigations=off playground.probe';
  try {
    await exec(
      [
        ...(['timeout', '--signal=KILL', String(PROBE_LIMIT_MS / 1000), 'qemu-system-x86_64'] as const),
        ...['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-smp', '1', '-m', '256'],
        ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
        ...['-kernel', join(image, IMAGE_FILES.kernel), '-initrd', join(image, IMAGE_FILES.initrd), '-append', line],
        ...['-chardev', `file,id=c,path=${log}`, '-serial', 'chardev:c'],
      ],
      // Whatever the exit code says (134 is QEMU's abort, 137 the time limit), the marker decides.
      { signal, allow: Array.from({ length: 256 }, (_, code) => code) },
    );
    return (await readFile(log, 'utf8').catch(() => '')).includes(PROBE_MARKER);
  } finally {
    await rm(log, { force: true });
  }
}
