// Who still holds a volume: every mount namespace of the machine is asked, because units with a network namespace
// have a private copy of each mount that an unmount on the host does not touch. Reads only.

import { type Mount, parseMountinfo } from './mountinfo.ts';
import type { System } from './system.ts';

export interface Holder {
  pid: number;
  /** Name of the process as the kernel knows it. */
  process: string;
  /** Its unit, scope or container, from its cgroup. */
  unit: string;
}

/**
 * Processes in whose view the device (major:minor) stays mounted when the host unmounts it; at most 20 are named, one
 * per unit and process name. Views that follow the host's mount lose it with the host (mount_namespaces(7)), and where
 * such a one is in use the kernel refuses the host's unmount.
 */
export async function findHolders(system: System, device: string): Promise<Holder[]> {
  const own = (await system.readFile('/proc/self/mountinfo')) ?? '';
  const followed = groupsOf(own, device);
  const holders: Holder[] = [];
  const seen = new Set<string>();
  for (const name of (await system.list('/proc')) ?? []) {
    if (!/^\d+$/.test(name) || holders.length >= 20) continue;
    const text = await readOrGone(system, `/proc/${name}/mountinfo`);
    // The same text is the same view, and views of the host end with the host's own unmount.
    if (text === undefined || text === own || !mountsOf(text, device).some((mount) => staysBehind(mount, followed))) {
      continue;
    }
    const unit = unitOf((await readOrGone(system, `/proc/${name}/cgroup`)) ?? '');
    const process = ((await readOrGone(system, `/proc/${name}/comm`)) ?? '?').trim();
    if (seen.has(`${unit} ${process}`)) continue;
    seen.add(`${unit} ${process}`);
    holders.push({ pid: Number(name), process, unit });
  }
  return holders;
}

function mountsOf(mountinfo: string, device: string): Mount[] {
  return parseMountinfo(mountinfo).filter((mount) => mount.device === device);
}

function groupsOf(mountinfo: string, device: string): Set<number> {
  return new Set(mountsOf(mountinfo, device).flatMap(({ peerGroup }) => (peerGroup === undefined ? [] : [peerGroup])));
}

function staysBehind({ peerGroup, master }: Mount, followed: ReadonlySet<number>): boolean {
  return ![peerGroup, master].some((group) => group !== undefined && followed.has(group));
}

/** "0::/rediacc.slice/rediacc-2816.slice/docker-ab.scope" -> "docker-ab.scope" */
function unitOf(cgroup: string): string {
  return cgroup.trim().split('/').at(-1) ?? '';
}

/** ESRCH: it has ended since it was listed; EINVAL: it has ended and its parent has not noticed yet. */
const GONE: readonly unknown[] = ['ESRCH', 'EINVAL', 'EACCES'];

/** A process may end between being listed and being read: ENOENT is undefined already. */
async function readOrGone(system: System, path: string): Promise<string | undefined> {
  try {
    return await system.readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && GONE.includes(error.code)) return undefined;
    throw error;
  }
}
