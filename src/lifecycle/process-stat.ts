// Parses /proc/PID/stat (proc_pid_stat(5)). Pure.

export interface ProcessStat {
  /** "Z": it has ended, and its parent has not asked for its exit code yet. */
  state: string;
  parent: number;
  /** Of the kernel's own: it has no program and cannot be ended (PF_KTHREAD of sched.h). */
  isKernelThread: boolean;
  /** Clock ticks after boot: with the pid they are one process and no later one of the same pid. */
  startTicks: number;
}

const PF_KTHREAD = 0x0020_0000;

export function parseStat(text: string): ProcessStat {
  // The name in the second field may hold blanks and parentheses: fields are counted from behind it.
  const [state = '', ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // Fields 4 (ppid), 9 (flags) and 22 (starttime).
  const parent = Number(rest[0]);
  return { state, parent, isKernelThread: (Number(rest[5]) & PF_KTHREAD) !== 0, startTicks: Number(rest[18]) };
}
