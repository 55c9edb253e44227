// Ends what holds a volume, and nothing else: processes by SIGTERM, then, where that does not help, SIGKILL; then the
// mounts that stand on it, the deepest first, and loop devices on files in it. Never lazily: what refuses, stays.
import { command } from './command.ts';
import type { Holder, VolumeHolders } from './holders.ts';
import { detachLoop } from './luks.ts';
import { parseStat } from './process-stat.ts';
import type { System } from './system.ts';

/** Milliseconds that a process has to end by itself, and that the kernel has to end it. */
const TERM_MS = 10_000;
const KILL_MS = 5_000;
const POLL_MS = 100;

/** `self`: pid of this program. The first process and the kernel's own are nobody's to end. */
export function mayEnd({ pid, isKernelThread }: Pick<Holder, 'pid' | 'isKernelThread'>, self: number): boolean {
  return pid > 1 && pid !== self && !isKernelThread;
}

export async function endProcesses(system: System, holders: readonly Holder[], self: number): Promise<void> {
  let left = holders.filter((holder) => mayEnd(holder, self));
  for (const [signal, patienceMs] of [
    ['TERM', TERM_MS],
    ['KILL', KILL_MS],
  ] as const) {
    for (const holder of left) await send(system, signal, holder);
    left = await untilEnded(system, left, patienceMs);
    if (left.length === 0) return;
  }
}

/** Each is unmounted plainly: one that is used by somebody after all makes it fail, and the volume stays open. */
export async function endMounts(system: System, { mounts, loops }: VolumeHolders): Promise<void> {
  for (const mountPoint of mounts) await system.run(command('umount', '--', mountPoint));
  for (const device of loops) await system.run(detachLoop(device));
}

/** A pid is given to another process only after all others had their turn: it is looked at right before. Exit code 1: it has ended. */
async function send(system: System, signal: 'TERM' | 'KILL', holder: Holder): Promise<void> {
  if (!(await isThere(system, holder))) return;
  await system.run({ ...command('kill', `-${signal}`, String(holder.pid)), allow: [1] });
}

async function untilEnded(system: System, holders: readonly Holder[], patienceMs: number): Promise<Holder[]> {
  const deadline = system.now() + patienceMs;
  for (;;) {
    const there = await Promise.all(holders.map((holder) => isThere(system, holder)));
    const left = holders.filter((_, index) => there[index]);
    if (left.length === 0 || system.now() >= deadline) return left;
    await system.sleep(POLL_MS);
  }
}

/** The same process, and not only its number. */
async function isThere(system: System, { pid, startTicks }: Holder): Promise<boolean> {
  const text = await system.readFile(`/proc/${pid}/stat`);
  if (text === undefined) return false;
  const stat = parseStat(text);
  return stat.startTicks === startTicks && stat.state !== 'Z';
}
