// The terminal that a compose unit has made for itself (compose-unit.ts), seen from outside: only its size changes.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { TerminalSize } from '../protocol/terminal.ts';

/** Major numbers of /dev/pts/N, 256 each (Documentation/admin-guide/devices.txt). */
const FIRST_MAJOR = 136;
const LAST_MAJOR = 143;

/** Programs there get SIGWINCH from the kernel (ioctl_tty(2), TIOCSWINSZ). A unit without a terminal, or one that has ended, is left alone. */
export async function resizeTerminal(system: System, unit: string, { columns, rows }: TerminalSize): Promise<void> {
  const { stdout } = await system.run(command('systemctl', 'show', '--property=ControlGroup', '--value', unit));
  const group = stdout.trim();
  if (group === '') return;
  const pids = (await system.readFile(`/sys/fs/cgroup${group}/cgroup.procs`)) ?? '';
  for (const pid of pids.split('\n').filter((line) => line !== '')) {
    const path = terminalOf((await system.readFile(`/proc/${pid}/stat`)) ?? '');
    if (path === undefined) continue;
    await system.run(command('stty', '-F', path, 'rows', String(rows), 'columns', String(columns)));
    return;
  }
}

/** The controlling terminal of a process, from its /proc/PID/stat: tty_nr, the fifth field behind the name (proc_pid_stat(5)). */
export function terminalOf(stat: string): string | undefined {
  const number = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4]);
  // Minor in bits 31 to 20 and 7 to 0, major in 15 to 8.
  const major = (number >> 8) & 0xff;
  const minor = ((number >> 12) & 0xfff00) | (number & 0xff);
  if (!(major >= FIRST_MAJOR && major <= LAST_MAJOR)) return undefined;
  return `/dev/pts/${(major - FIRST_MAJOR) * 256 + minor}`;
}
