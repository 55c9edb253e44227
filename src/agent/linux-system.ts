// The System port on a real Linux: the only place where the agent starts a program or touches a file of the server.
import type { System } from '../lifecycle/system.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { listNames, makeDirectory, readText, remove, spaceAt, statPath } from './linux-files.ts';
import { readInside } from './read-inside.ts';
import { reserveFile } from './reserve-file.ts';
import { cancellation, runCommand } from './run-command.ts';

export interface LinuxSystemOptions {
  /** Aborting it ends running commands with all their children, and makes further ones fail with CANCELLED. */
  signal?: AbortSignal;
  /** Milliseconds between SIGTERM and SIGKILL for a command that is cancelled or takes too long. */
  killAfterMs?: number;
}

const KILL_AFTER_MS = 10_000;

export function createLinuxSystem({ signal, killAfterMs = KILL_AFTER_MS }: LinuxSystemOptions = {}): System {
  return {
    run: (command, onOutput) => runCommand(command, { onOutput, signal, killAfterMs }),
    readFile: readText,
    readInside,
    writeFile: writeFileAtomic,
    remove,
    makeDirectory,
    reserve: (root, path, bytes) =>
      reserveFile((command) => runCommand(command, { onOutput: undefined, signal, killAfterMs }), root, path, bytes),
    list: listNames,
    stat: statPath,
    space: spaceAt,
    now: () => performance.now(),
    sleep: (ms) => sleep(ms, signal),
  };
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancellation(signal));
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(cancellation(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
