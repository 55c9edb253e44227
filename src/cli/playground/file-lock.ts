// An exclusive lock on a file that the kernel drops when its holder dies, however it dies. Node has no flock(2), so
// flock(1) holds it: its child reads our pipe and ends when the pipe closes, with us or before us.
import { execa } from 'execa';
import { RdcError } from '../../protocol/errors.ts';

export interface FileLock {
  release(): Promise<void>;
}

/** Waits for the lock; `onWait` is called once when somebody else holds it. The file's directory must exist. */
export async function lockFile(
  file: string,
  options: { signal?: AbortSignal | undefined; onWait?: () => void } = {},
): Promise<FileLock> {
  const holder = execa('flock', ['--exclusive', '--no-fork', file, 'sh', '-c', 'echo locked; exec cat >/dev/null'], {
    reject: false,
    // A Ctrl-C in the terminal reaches the whole foreground group; the lock must outlive our own cleaning up.
    detached: true,
    buffer: false,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  const waiting = setTimeout(() => options.onWait?.(), 300);
  const locked = new Promise<boolean>((resolve) => {
    holder.stdout.once('data', () => resolve(true));
    holder.then(() => resolve(false));
  });
  const got = await locked.finally(() => clearTimeout(waiting));
  if (!got) {
    const { isCanceled } = await holder;
    throw isCanceled
      ? new RdcError('INTERRUPTED', 'interrupted while waiting for a lock')
      : new RdcError('FAILED', `"${file}" cannot be locked`);
  }
  return {
    async release() {
      holder.stdin.end();
      await holder;
    },
  };
}

export async function withFileLock<T>(
  file: string,
  options: { signal?: AbortSignal | undefined; onWait?: () => void },
  work: () => Promise<T>,
): Promise<T> {
  const lock = await lockFile(file, { ...(options.onWait ? { onWait: options.onWait } : {}), signal: options.signal });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
