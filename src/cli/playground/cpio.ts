// A writer for the "newc" cpio format, the one the kernel unpacks an initial ramdisk from (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).

export interface CpioEntry {
  /** Path without a leading slash. */
  path: string;
  /** File type and permission bits as in st_mode. */
  mode: number;
  /** Content of a file, or the target of a symbolic link. */
  data?: Uint8Array;
  /** Device number of a character or block device. */
  device?: { major: number; minor: number };
}

export const CPIO_TYPE = { directory: 0o040000, file: 0o100000, link: 0o120000, character: 0o020000 } as const;

export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.map((entry, index) => writeEntry(entry, index + 1));
  parts.push(writeEntry({ path: 'TRAILER!!!', mode: 0 }, 0));
  return Buffer.concat(parts);
}

function writeEntry(entry: CpioEntry, inode: number): Buffer {
  const name = Buffer.from(`${entry.path}\0`);
  const data = entry.data ?? new Uint8Array();
  const device = entry.device ?? { major: 0, minor: 0 };
  const fields = [inode, entry.mode, 0, 0, 1, 0, data.length, 0, 0, device.major, device.minor, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), name])), padded(Buffer.from(data))]);
}

/** Header with name, and data, each end on a multiple of four bytes. */
function padded(part: Buffer): Buffer {
  return Buffer.concat([part, Buffer.alloc((4 - (part.length % 4)) % 4)]);
}
