// A process id alone proves nothing: after a reboot of the workstation, or long enough after its owner died, another
// process has it. The start time within one boot of the kernel does.
import { readdir, readFile, readlink } from 'node:fs/promises';

/** Identifies one process for ever; undefined when there is no such process (or only its zombie). */
export async function processIdentity(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  // Fields after the command name, which is in parentheses and may itself hold spaces (proc(5)): state is the first.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return `${boot.trim()}:${fields[19]}`;
}

/** Waits until the process is gone; false when it is still there after `timeoutMs`. */
export async function waitForExit(pid: number, identity: string, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while ((await processIdentity(pid)) === identity) {
    if (Date.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}

/** SIGKILL, but only to the process meant. Returns once it is gone. */
export async function killProcess(pid: number, identity: string): Promise<void> {
  if ((await processIdentity(pid)) !== identity) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It ended by itself between the look and the kill.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  await waitForExit(pid, identity, 10_000);
}

/** Whether this process has `file` (an absolute path) open. */
export async function hasOpen(pid: number, file: string): Promise<boolean> {
  const directory = `/proc/${pid}/fd`;
  const descriptors = await readdir(directory).catch(() => []);
  const targets = await Promise.all(descriptors.map((fd) => readlink(`${directory}/${fd}`).catch(() => '')));
  return targets.includes(file);
}
