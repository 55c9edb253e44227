// Which process it was, also after its number has been given to another one or the machine has booted again.
import * as z from 'zod';
import { parseStat } from '../lifecycle/process-stat.ts';
import { readText } from './linux-files.ts';

export const processIdentitySchema = z.object({
  pid: z.number().int().positive(),
  /** Clock ticks after boot at which it started (proc_pid_stat(5), field 22). */
  startTicks: z.number(),
  bootId: z.string(),
});
export type ProcessIdentity = z.infer<typeof processIdentitySchema>;

/** undefined when there is no such process (any more). */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  const [stat, bootId] = await Promise.all([
    readText(`/proc/${pid}/stat`).catch(goneWhileRead),
    readText('/proc/sys/kernel/random/boot_id'),
  ]);
  if (stat === undefined) return undefined;
  const { state, startTicks } = parseStat(stat);
  // A zombie does nothing any more, whoever has yet to ask for its exit code.
  if (state === 'Z') return undefined;
  return { pid, startTicks, bootId: (bootId ?? '').trim() };
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const now = await identifyProcess(identity.pid);
  return now !== undefined && now.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

function goneWhileRead(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return undefined;
  throw error;
}
