// Who uses a block device: processes that have it open, mounts of it on the host and in other views, devices stacked upon it.
import { describeProcess } from '../lifecycle/holder-text.ts';
import { findHolders } from '../lifecycle/holders.ts';
import type { Mount } from '../lifecycle/mountinfo.ts';
import { findProcessLinks } from '../lifecycle/process-links.ts';
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

async function findOpeners(system: System, kernelNames: readonly string[]): Promise<Map<string, string[]>> {
  const openers = new Map<string, string[]>();
  const links = await findProcessLinks(
    system,
    ['fd'],
    kernelNames.map((name) => `/dev/${name}`),
  );
  for (const link of new Set(links.map(({ pid, target }) => `${pid} ${target.slice('/dev/'.length)}`))) {
    const [pid = '', name = ''] = link.split(' ');
    const process = ((await system.readFile(`/proc/${pid}/comm`)) ?? '?').trim();
    openers.set(name, [...(openers.get(name) ?? []), `${process} (pid ${pid})`]);
  }
  return openers;
}
