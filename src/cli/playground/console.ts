// The guest's serial console, read for signs that its kernel broke. A guest that panicked and rebooted looks healthy
// from outside; only the log tells.
import { open, stat } from 'node:fs/promises';

const TROUBLE = /\b(Oops\b|Kernel panic|kernel BUG at|BUG: )|^no root disk/;

/** Lines of a console log that show a broken kernel. */
export function kernelTrouble(log: string): string[] {
  return log
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => TROUBLE.test(line));
}

/** The log from `offset` (bytes) on; empty when there is none yet. */
export async function readConsole(file: string, offset = 0): Promise<string> {
  const size = await consoleSize(file);
  if (size <= offset) return '';
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - offset), 0, size - offset, offset);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

export async function consoleSize(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}
