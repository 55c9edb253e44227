// Files that users of a repository wrote, read by root: a link may point at /etc/shadow, the file may be a FIFO that
// nobody writes to, or be exchanged while it is looked at. So the file is taken hold of first and judged by the handle.
// The calls are synchronous: there are hundreds of small files, each takes microseconds, and none of them can block.
import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync, realpathSync } from 'node:fs';
import type { InsideRead } from '../lifecycle/system.ts';
import { codeOf } from './linux-files.ts';

/** open(2): a handle on the place in the tree that opens nothing, so a FIFO does not block and a device does nothing. Node has no name for it; the value is the same on x86 and ARM. */
const O_PATH = 0o10000000;

export async function readInside(root: string, path: string, maxBytes: number): Promise<InsideRead> {
  try {
    return withHandle(path, O_PATH, (place) => readPlace(realpathSync(root), place, maxBytes));
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return { refused: 'absent' };
    if (code === 'ELOOP' || code === 'EACCES' || code === 'ENAMETOOLONG') return { refused: 'unreadable' };
    throw error;
  }
}

function readPlace(root: string, place: number, maxBytes: number): InsideRead {
  const handle = `/proc/self/fd/${place}`;
  // The kernel's own answer to where it is: no link is left in it (proc_pid_fd(5)).
  if (!readlinkSync(handle).startsWith(`${root}/`)) return { refused: 'outside' };
  const found = fstatSync(place);
  if (!found.isFile()) return { refused: 'unreadable' };
  if (found.size > maxBytes) return { refused: 'too-large' };
  return withHandle(handle, constants.O_RDONLY, (file) => readText(file, maxBytes));
}

/** The size that stat told may have grown since. */
function readText(file: number, maxBytes: number): InsideRead {
  const buffer = Buffer.allocUnsafe(Math.min(maxBytes, fstatSync(file).size) + 1);
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(file, buffer, length, buffer.length - length, length);
    if (count === 0) break;
    length += count;
  }
  if (length > maxBytes) return { refused: 'too-large' };
  const bytes = buffer.subarray(0, length);
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? { text } : { refused: 'not-text' };
}

function withHandle<T>(path: string, flags: number, work: (file: number) => T): T {
  const file = openSync(path, flags);
  try {
    return work(file);
  } finally {
    closeSync(file);
  }
}
