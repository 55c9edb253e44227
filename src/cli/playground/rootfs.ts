// Makes the guest's directory tree: packages, files and accounts. Needs root, for file ownership and chroot.
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RdcError } from '../../protocol/errors.ts';
import { aptSources } from './apt-source.ts';
import { exec } from './exec.ts';
import type { GuestFile } from './guest-files.ts';
import { EXCLUDED_PATHS, PACKAGES, SUITE } from './recipe.ts';

export async function installPackages(rootfs: string, signal?: AbortSignal): Promise<void> {
  const excludes = EXCLUDED_PATHS.map((path) => `--dpkgopt=path-exclude=${path}`);
  await exec(
    [
      ...(['mmdebstrap', '--mode=root', '--variant=minbase', '--format=directory'] as const),
      `--include=${PACKAGES.join(',')}`,
      '--aptopt=Apt::Install-Recommends "false"',
      '--dpkgopt=force-unsafe-io',
      ...excludes,
      ...[SUITE, rootfs],
      ...(await aptSources(SUITE, signal)),
    ],
    // INITRD=No: the kernel package makes no ramdisk of its own; ours is a fraction of its size.
    { signal, env: { INITRD: 'No' } },
  );
}

export async function putFiles(rootfs: string, files: readonly GuestFile[]): Promise<void> {
  for (const file of files) {
    const target = join(rootfs, file.path);
    await mkdir(dirname(target), { recursive: true });
    await rm(target, { force: true });
    await writeFile(target, file.content, { mode: file.mode ?? 0o644 });
    await chmod(target, file.mode ?? 0o644);
  }
}

export async function runInside(
  rootfs: string,
  commands: readonly (readonly [string, ...string[]])[],
  signal?: AbortSignal,
): Promise<void> {
  for (const command of commands) {
    await exec(['chroot', rootfs, ...command], { signal, env: { SYSTEMD_OFFLINE: '1' } });
  }
}

/** Takes out what must differ between two machines: every machine gets its own at its first start. */
export async function removeIdentity(rootfs: string): Promise<void> {
  const ssh = join(rootfs, 'etc/ssh');
  const keys = (await readdir(ssh)).filter((name) => name.startsWith('ssh_host_'));
  for (const key of keys) await rm(join(ssh, key));
  // etc/hosts is a copy of the building system's own.
  for (const path of ['etc/hosts', 'var/lib/dbus/machine-id', 'var/lib/systemd/random-seed']) {
    await rm(join(rootfs, path), { force: true });
  }
}

/** Unpacks the kernel modules once here: unpacking xz under emulation would cost at every load. */
export async function unpackModules(rootfs: string, version: string, signal?: AbortSignal): Promise<void> {
  const tree = join(rootfs, 'usr/lib/modules', version);
  const names = await readdir(tree, { recursive: true });
  const packed = names.filter((name) => name.endsWith('.ko.xz')).map((name) => join(tree, name));
  if (packed.length > 0) await exec(['xz', '--decompress', '--force', ...packed], { signal });
  await runInside(rootfs, [['depmod', version]], signal);
}

export async function kernelVersion(rootfs: string): Promise<string> {
  const [version] = await readdir(join(rootfs, 'usr/lib/modules'));
  if (version === undefined) throw new RdcError('FAILED', 'the new system has no kernel');
  return version;
}
