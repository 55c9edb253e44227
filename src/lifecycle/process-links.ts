// What processes have open, by the links of proc(5): /proc/PID/fd, cwd, root, exe, map_files. The links are read and never
// followed, since a file of another process may lie on a server that does not answer.
import { command } from './command.ts';
import type { System } from './system.ts';

export interface ProcessLink {
  pid: number;
  /** Where it leads, e.g. "/dev/loop3". */
  target: string;
}

/** So that the names of their directories fit into one argument list (execve(2)). */
const PIDS_AT_ONCE = 1000;

/** `places`: "fd", "cwd"; `paths`: exactly these, or with a trailing "/" everything below. */
export async function findProcessLinks(
  system: System,
  places: readonly string[],
  paths: readonly string[],
): Promise<ProcessLink[]> {
  const links: ProcessLink[] = [];
  if (paths.length === 0) return links;
  const pids = await listPids(system);
  const match = paths.flatMap((path, index) => [...(index === 0 ? [] : ['-o']), '-lname', patternOf(path)]);
  for (let from = 0; from < pids.length; from += PIDS_AT_ONCE) {
    const roots = pids
      .slice(from, from + PIDS_AT_ONCE)
      .flatMap((pid) => places.map((place) => `/proc/${pid}/${place}`));
    const find = command('find', ...roots, '-maxdepth', '1', '(', ...match, ')', '-printf', '%p %l\\0');
    // Exit code 1: a process has ended meanwhile.
    const { stdout } = await system.run({ ...find, allow: [1] });
    for (const line of stdout.split('\0')) {
      const [, pid, target = ''] = /^\/proc\/(\d+)\/\S+ (.*)$/s.exec(line) ?? [];
      if (pid !== undefined) links.push({ pid: Number(pid), target });
    }
  }
  return links;
}

/**
 * Processes by what they see of mounts, their mount namespace and their root in it (proc_pid_ns(5), proc_pid_root(5)); those that see what we
 * see are left out. Reading the mounts of one of each is enough, and a machine has hundreds of processes with the same view.
 */
export async function otherViews(system: System): Promise<number[][]> {
  const seen = new Map<string, string>();
  const pids = ['self', ...(await listPids(system))];
  for (let from = 0; from < pids.length; from += PIDS_AT_ONCE) {
    const links = pids.slice(from, from + PIDS_AT_ONCE).flatMap((pid) => [`/proc/${pid}/ns/mnt`, `/proc/${pid}/root`]);
    const find = command('find', ...links, '-maxdepth', '0', '-printf', '%p %l\\0');
    // Exit code 1: a process has ended meanwhile.
    const { stdout } = await system.run({ ...find, allow: [1] });
    for (const line of stdout.split('\0')) {
      const [, pid = '', target = ''] = /^\/proc\/(\w+)\/\S+ (.*)$/s.exec(line) ?? [];
      if (pid !== '') seen.set(pid, `${seen.get(pid) ?? ''} ${target}`);
    }
  }
  const own = seen.get('self');
  const views = new Map<string, number[]>();
  for (const [pid, view] of seen) {
    if (pid !== 'self' && view !== own) views.set(view, [...(views.get(view) ?? []), Number(pid)]);
  }
  return [...views.values()];
}

async function listPids(system: System): Promise<number[]> {
  return ((await system.list('/proc')) ?? []).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** find(1): in a pattern of -lname a "*" also matches "/". */
function patternOf(path: string): string {
  const literal = path.replaceAll(/[*?[\]\\]/g, '\\$&');
  return path.endsWith('/') ? `${literal}*` : literal;
}
