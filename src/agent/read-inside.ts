// Files that users of a repository wrote, read by root: a link may point at /etc/shadow, the file may be a FIFO that
// nobody writes to, or be exchanged while it is looked at. So the file is taken hold of first and judged by the handle.
import { constants } from 'node:fs';
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises';
import type { InsideRead } from '../lifecycle/system.ts';
import { codeOf } from './linux-files.ts';

/** open(2): a handle on the place in the tree that opens nothing, so a FIFO does not block and a device does nothing. Node has no name for it; the value is the same on x86 and ARM. */
const O_PATH = 0o10000000;

export async function readInside(root: string, path: string, maxBytes: number): Promise<InsideRead> {
  try {
    const place = await open(path, O_PATH);
    try {
      return await readPlace(await realpath(root), place, maxBytes);
    } finally {
      await place.close();
    }
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return { refused: 'absent' };
    if (code === 'ELOOP' || code === 'EACCES' || code === 'ENAMETOOLONG') return { refused: 'unreadable' };
    throw error;
  }
}

async function readPlace(root: string, place: FileHandle, maxBytes: number): Promise<InsideRead> {
  const handle = `/proc/self/fd/${place.fd}`;
  // The kernel's own answer to where it is: no link is left in it (proc_pid_fd(5)).
  if (!(await readlink(handle)).startsWith(`${root}/`)) return { refused: 'outside' };
  const found = await place.stat();
  if (!found.isFile()) return { refused: 'unreadable' };
  if (found.size > maxBytes) return { refused: 'too-large' };
  const file = await open(handle, constants.O_RDONLY);
  try {
    return await readText(file, maxBytes);
  } finally {
    await file.close();
  }
}

/** The size that stat told may have grown since. */
async function readText(file: FileHandle, maxBytes: number): Promise<InsideRead> {
  const buffer = Buffer.alloc(Math.min(maxBytes, (await file.stat()).size) + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  if (length > maxBytes) return { refused: 'too-large' };
  const bytes = buffer.subarray(0, length);
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? { text } : { refused: 'not-text' };
}
