// Who still holds a volume: processes that use it in the host's view, processes whose own view has a copy of the mount,
// mounts that stand on it, loop devices on files in it. Units with a network namespace have a private copy of each mount, so
// every view of the machine is asked. Reads only.
import { observeBlockDevices } from './block-devices.ts';
import { type Mount, parseMountinfo } from './mountinfo.ts';
import { findProcessLinks, otherViews } from './process-links.ts';
import { parseStat } from './process-stat.ts';
import type { System } from './system.ts';

export interface Holder {
  pid: number;
  /** With the pid it is this process and no later one. */
  startTicks: number;
  isKernelThread: boolean;
  /** Name of the process as the kernel knows it. */
  process: string;
  /** Its cgroup, e.g. "/system.slice/docker-….scope". */
  cgroup: string;
  /** Its view is its own: an unmount on the host does not reach it. */
  ownView: boolean;
}

export interface VolumeHolders {
  processes: Holder[];
  /** On the host, below the mount point or elsewhere of the same device: the newest, which is the deepest, first. */
  mounts: string[];
  /** "/dev/loop5": attached to a file in the volume. */
  loops: string[];
  /** "dm-5": made upon the volume's own device. */
  stacked: string[];
}

export interface HeldPlace {
  /** major:minor of the volume. */
  device: string;
  /** "dm-0": whoever has it open itself holds it as well. */
  kernelName: string;
  /** Where the host has it mounted; undefined: nowhere. */
  mountPoint?: string | undefined;
}

export async function findVolumeHolders(system: System, place: HeldPlace): Promise<VolumeHolders> {
  const own = parseMountinfo((await system.readFile('/proc/self/mountinfo')) ?? '');
  const { loops } = await observeBlockDevices(system);
  const { device, kernelName, mountPoint } = place;
  const inside = (path: string) => mountPoint !== undefined && path.startsWith(`${mountPoint}/`);
  const users = await findUsers(system, [
    `/dev/${kernelName}`,
    ...(mountPoint === undefined ? [] : [mountPoint, `${mountPoint}/`]),
  ]);
  const keepers = await findKeepers(system, device);
  const pids = new Map([...users.map((pid) => [pid, false] as const), ...keepers.map((pid) => [pid, true] as const)]);
  const processes = await Promise.all([...pids].map(([pid, ownView]) => identify(system, pid, ownView)));
  return {
    processes: processes.filter((holder) => holder !== undefined).filter(({ cgroup }) => !UDEV.test(cgroup)),
    mounts: own
      .filter((mount) => mount.mountPoint !== mountPoint && (inside(mount.mountPoint) || mount.device === device))
      .map((mount) => mount.mountPoint)
      .toReversed(),
    loops: loops.filter(({ backingFile }) => inside(backingFile)).map((loop) => loop.device),
    stacked: (await system.list(`/sys/block/${kernelName}/holders`)) ?? [],
  };
}

/**
 * Processes in whose view the device (major:minor) stays mounted when the host unmounts it. Views that follow the host's
 * mount lose it with the host (mount_namespaces(7)), and where such a one is in use the kernel refuses the host's unmount.
 */
export async function findHolders(system: System, device: string): Promise<Holder[]> {
  const pids = await findKeepers(system, device);
  const holders = await Promise.all(pids.map((pid) => identify(system, pid, true)));
  return holders.filter((holder) => holder !== undefined);
}

async function findKeepers(system: System, device: string): Promise<number[]> {
  const own = (await system.readFile('/proc/self/mountinfo')) ?? '';
  const followed = groupsOf(own, device);
  const keepers: number[] = [];
  // Views of the host end with the host's own unmount.
  for (const pids of await otherViews(system)) {
    if (mountsOf(await mountsSeenBy(system, pids), device).some((mount) => staysBehind(mount, followed)))
      keepers.push(...pids);
  }
  return keepers.sort((a, b) => a - b);
}

/** One that is ending sees nothing any more. */
async function mountsSeenBy(system: System, pids: readonly number[]): Promise<string> {
  for (const pid of pids) {
    const text = await readOrGone(system, `/proc/${pid}/mountinfo`);
    if (text !== undefined && text !== '') return text;
  }
  return '';
}

/** It looks at a device for an instant whenever that changes. */
const UDEV = /\/systemd-udevd\.service(\/|$)/;

/** Processes with a file, a directory, a program or memory below these. */
async function findUsers(system: System, paths: readonly string[]): Promise<number[]> {
  const places = ['cwd', 'root', 'exe', 'fd', 'map_files'];
  const links = await findProcessLinks(system, places, paths);
  return [...new Set(links.map(({ pid }) => pid))];
}

/** undefined when it has ended. */
async function identify(system: System, pid: number, ownView: boolean): Promise<Holder | undefined> {
  const stat = await readOrGone(system, `/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const { startTicks, isKernelThread, state } = parseStat(stat);
  if (state === 'Z') return undefined;
  const process = ((await readOrGone(system, `/proc/${pid}/comm`)) ?? '?').trim();
  const cgroup = ((await readOrGone(system, `/proc/${pid}/cgroup`)) ?? '').trim().split('\n').at(-1) ?? '';
  return { pid, startTicks, isKernelThread, process, cgroup: cgroup.replace(/^0::/, ''), ownView };
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
