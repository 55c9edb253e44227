// What QEMU boots directly: the kernel as an uncompressed ELF (saves the guest's own decompression, more than a second
// under emulation) and an initial ramdisk that only mounts the root disk.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RdcError } from '../../protocol/errors.ts';
import { CPIO_TYPE, type CpioEntry, writeCpio } from './cpio.ts';
import { exec } from './exec.ts';

/** Printed by the ramdisk when asked to prove that an accelerator really runs this kernel. */
export const PROBE_MARKER = 'playground-probe-ok';

/** Offsets from the kernel's Documentation/arch/x86/boot.rst. */
const HEADER = { setupSectors: 0x1f1, magic: 0x202, payloadOffset: 0x248, payloadLength: 0x24c } as const;

/** The compressed payload inside a bzImage. */
export function bzImagePayload(image: Buffer): Buffer {
  if (image.toString('latin1', HEADER.magic, HEADER.magic + 4) !== 'HdrS') {
    throw new RdcError('FAILED', 'the guest kernel is not a bzImage');
  }
  const protectedMode = ((image[HEADER.setupSectors] || 4) + 1) * 512;
  const start = protectedMode + image.readUInt32LE(HEADER.payloadOffset);
  return image.subarray(start, start + image.readUInt32LE(HEADER.payloadLength));
}

/** Writes the ELF of a bzImage with a zstd payload, as Debian builds it, to `target`. */
export async function extractVmlinux(bzImage: string, target: string, signal?: AbortSignal): Promise<void> {
  const payload = bzImagePayload(await readFile(bzImage));
  const packed = `${target}.zst`;
  // The payload's last four bytes are its unpacked size, not part of the zstd frame.
  await writeFile(packed, payload.subarray(0, payload.length - 4));
  await exec(['zstd', '--quiet', '--decompress', '--force', '--rm', packed, '-o', target], { signal });
}

const INIT = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
if /bin/busybox grep -q playground.probe /proc/cmdline; then
  echo ${PROBE_MARKER} > /dev/console
  /bin/busybox poweroff -f
fi
for module in virtio_blk; do /bin/busybox insmod /$module.ko; done
tries=0
until /bin/busybox mount -t ext4 -o rw /dev/vda /root 2>/dev/null; do
  tries=$((tries + 1)); [ $tries -lt 200 ] || { echo 'no root disk' > /dev/console; /bin/busybox poweroff -f; }
  /bin/busybox usleep 50000
done
/bin/busybox umount /proc
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
`;

/** Writes the initial ramdisk from the guest's own busybox and module tree (modules already uncompressed). */
export async function writeInitrd(rootfs: string, version: string, target: string): Promise<void> {
  const modules = join(rootfs, 'usr/lib/modules', version, 'kernel/drivers');
  const directories = ['bin', 'dev', 'proc', 'root'].map((path) => ({ path, mode: CPIO_TYPE.directory | 0o755 }));
  const entries: CpioEntry[] = [
    ...directories,
    { path: 'dev/console', mode: CPIO_TYPE.character | 0o600, device: { major: 5, minor: 1 } },
    { path: 'bin/busybox', mode: CPIO_TYPE.file | 0o755, data: await readFile(join(rootfs, 'usr/bin/busybox')) },
    { path: 'init', mode: CPIO_TYPE.file | 0o755, data: Buffer.from(INIT) },
    { path: 'virtio_blk.ko', mode: CPIO_TYPE.file | 0o644, data: await readFile(join(modules, 'block/virtio_blk.ko')) },
  ];
  await writeFile(target, writeCpio(entries));
}
