// The programs of the workstation that a virtual machine needs, and how to get them.
import { access, constants, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RdcError } from '../../protocol/errors.ts';
import { exec, toolPath } from './exec.ts';
import { type ReportStep, reported } from './report.ts';

/** Program and the Debian package that brings it. */
const TOOLS: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  mmdebstrap: 'mmdebstrap',
  zstd: 'zstd',
  xz: 'xz-utils',
  mke2fs: 'e2fsprogs',
  flock: 'util-linux',
  ssh: 'openssh-client',
  // Not for the machine itself: what a person types next is rdc sync.
  rsync: 'rsync',
};

/**
 * Checks that every tool is there. As root on Debian the missing ones are installed, which is reported as a step;
 * otherwise throws TOOL_MISSING with the command to paste.
 */
export async function ensureTools(report: ReportStep, signal?: AbortSignal): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new RdcError('HOST_NOT_SUITABLE', 'the playground needs Linux on a 64-bit x86 processor');
  }
  const missing = await missingTools(process.env.PATH);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => TOOLS[tool] ?? tool))];
  if (process.getuid?.() === 0 && (await isDebian())) {
    await reported(report, `install ${packages.join(', ')} with apt-get`, () => install(packages, signal));
    return;
  }
  throw new RdcError('TOOL_MISSING', `the playground needs ${missing.map((tool) => `"${tool}"`).join(', ')}`, {
    hint: `sudo apt-get install -y ${packages.join(' ')}`,
  });
}

export async function missingTools(path: string | undefined): Promise<string[]> {
  const directories = toolPath(path).split(':');
  const found = await Promise.all(Object.keys(TOOLS).map((tool) => isOnPath(tool, directories)));
  return Object.keys(TOOLS).filter((_, index) => found[index] !== true);
}

/** Major version of QEMU. */
export async function qemuMajor(signal?: AbortSignal): Promise<number> {
  const { stdout } = await exec(['qemu-system-x86_64', '--version'], { signal });
  return Number(/version (\d+)\./.exec(stdout)?.[1] ?? 0);
}

async function install(packages: readonly string[], signal?: AbortSignal): Promise<void> {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await exec(['apt-get', 'update'], { signal, env });
  await exec(['apt-get', 'install', '-y', '--no-install-recommends', ...packages], { signal, env });
}

async function isOnPath(tool: string, directories: readonly string[]): Promise<boolean> {
  const checks = directories.map((directory) =>
    access(join(directory, tool), constants.X_OK).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(checks)).includes(true);
}

async function isDebian(): Promise<boolean> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^ID(_LIKE)?=.*\bdebian\b/m.test(release);
}
