// Who still holds a volume: every mount namespace of the machine is asked, because units with a network namespace
// have a private copy of each mount that an unmount on the host does not touch. Reads only.

import { parseMountinfo } from './mountinfo.ts';
import type { System } from './system.ts';

export interface Holder {
  pid: number;
  /** Name of the process as the kernel knows it. */
  process: string;
  /** Its unit, scope or container, from its cgroup. */
  unit: string;
}

/** Processes outside the host's own mount namespace in whose view the device (major:minor) is mounted; one per namespace-and-unit is enough to act on, so at most 20 are named. */
export async function findHolders(system: System, device: string): Promise<Holder[]> {
  const own = await system.readFile('/proc/self/mountinfo');
  const holders: Holder[] = [];
  const seen = new Set<string>();
  for (const name of (await system.list('/proc')) ?? []) {
    if (!/^\d+$/.test(name) || holders.length >= 20) continue;
    const text = await readOrGone(system, `/proc/${name}/mountinfo`);
    // The same text is the same view, and views of the host end with the host's own unmount.
    if (text === undefined || text === own || !parseMountinfo(text).some((mount) => mount.device === device)) continue;
    const unit = unitOf((await readOrGone(system, `/proc/${name}/cgroup`)) ?? '');
    const process = ((await readOrGone(system, `/proc/${name}/comm`)) ?? '?').trim();
    if (seen.has(`${unit} ${process}`)) continue;
    seen.add(`${unit} ${process}`);
    holders.push({ pid: Number(name), process, unit });
  }
  return holders;
}

/** "0::/rediacc.slice/rediacc-2816.slice/docker-ab.scope" -> "docker-ab.scope" */
function unitOf(cgroup: string): string {
  return cgroup.trim().split('/').at(-1) ?? '';
}

/** A process may end between being listed and being read: ENOENT is undefined already, ESRCH means the same. */
async function readOrGone(system: System, path: string): Promise<string | undefined> {
  try {
    return await system.readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ESRCH' || error.code === 'EACCES'))
      return undefined;
    throw error;
  }
}
