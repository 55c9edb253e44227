// Who uses a block device: processes that have it open, mounts of it on the host and in other views, devices stacked upon it.
import { command } from '../lifecycle/command.ts';
import { describeProcess } from '../lifecycle/holder-text.ts';
import { findHolders } from '../lifecycle/holders.ts';
import type { Mount } from '../lifecycle/mountinfo.ts';
import type { System } from '../lifecycle/system.ts';

export interface DeviceQuestion {
  /** "dm-0", "loop3" */
  kernelName: string;
  /** major:minor; undefined: it is no filesystem's, and nobody mounts it. */
  deviceNumber?: string;
  /** Mounts of it that do not count. */
  except?: readonly string[];
}

/** By kernel name, in words. What nobody uses has no entry. */
export async function findDeviceUsers(
  system: System,
  hostMounts: readonly Mount[],
  questions: readonly DeviceQuestion[],
): Promise<Map<string, string[]>> {
  const openers = await findOpeners(
    system,
    questions.map(({ kernelName }) => kernelName),
  );
  const users = new Map<string, string[]>();
  for (const { kernelName, deviceNumber, except = [] } of questions) {
    const found = [
      ...(openers.get(kernelName) ?? []),
      ...((await system.list(`/sys/block/${kernelName}/holders`)) ?? []).filter(() => kernelName.startsWith('dm-')),
      ...(deviceNumber === undefined ? [] : await mountsOf(system, hostMounts, { deviceNumber, except })),
    ];
    if (found.length > 0) users.set(kernelName, found);
  }
  return users;
}

async function mountsOf(
  system: System,
  hostMounts: readonly Mount[],
  { deviceNumber, except }: Required<Pick<DeviceQuestion, 'deviceNumber' | 'except'>>,
): Promise<string[]> {
  const onHost = hostMounts.filter(({ device, mountPoint }) => device === deviceNumber && !except.includes(mountPoint));
  const elsewhere = await findHolders(system, deviceNumber);
  return [
    ...onHost.map(({ mountPoint }) => `a mount at ${mountPoint}`),
    ...elsewhere.map((holder) => describeProcess(holder, ({ id }) => `container ${id.slice(0, 12)}`)),
  ];
}

/** The links of /proc/PID/fd name devices as /dev does (proc_pid_fd(5)). A process may end meanwhile: find(1) then exits with 1. */
async function findOpeners(system: System, kernelNames: readonly string[]): Promise<Map<string, string[]>> {
  const openers = new Map<string, string[]>();
  if (kernelNames.length === 0) return openers;
  const pids = ((await system.list('/proc')) ?? []).filter((name) => /^\d+$/.test(name));
  if (pids.length === 0) return openers;
  const directories = pids.map((pid) => `/proc/${pid}/fd`);
  const names = kernelNames.flatMap((name, index) => [...(index === 0 ? [] : ['-o']), '-lname', `/dev/${name}`]);
  const find = command('find', ...directories, '-maxdepth', '1', '(', ...names, ')', '-printf', '%h %l\n');
  const { stdout } = await system.run({ ...find, allow: [1] });
  for (const line of new Set(stdout.split('\n'))) {
    const [, pid = '', name = ''] = /^\/proc\/(\d+)\/fd \/dev\/(.+)$/.exec(line) ?? [];
    if (pid === '') continue;
    const process = ((await system.readFile(`/proc/${pid}/comm`)) ?? '?').trim();
    openers.set(name, [...(openers.get(name) ?? []), `${process} (pid ${pid})`]);
  }
  return openers;
}
