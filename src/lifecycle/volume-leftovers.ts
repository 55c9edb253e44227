// Mounts, mappings and loop devices of a repository that is closed, half-made or unknown. Data is never given up here: an
// image that was deleted while something of it is still attached lives on in that alone, so what shows it stays.
import type { Mapping } from './block-devices.ts';
import { command } from './command.ts';
import type { Leftover } from './leftover.ts';
import type { RepoTraces } from './leftover-facts.ts';
import { detachLoop, luksClose, removeHalfMade } from './luks.ts';
import { run } from './step.ts';

/** `why`: why the repository cannot be open, the first half of each proof. */
export function volumeLeftovers(traces: RepoTraces, why: string): Leftover[] {
  return [...mounts(traces, why), ...mappings(traces, why), ...loops(traces, why)];
}

/** A mount is only ever ended plainly: umount(8) refuses where anything uses it. The newest goes first. */
function mounts({ guid, record, mounts: points, mappings: below }: RepoTraces, why: string): Leftover[] {
  const about = { kind: 'mount', subject: guid, ...nameOf(record) } as const;
  const against = inUse(below.flatMap(({ users }) => users));
  // An unmount on the host would succeed all the same, and prove nothing (mount_namespaces(7)).
  if (against !== undefined) return points.slice(0, 1).map((what) => ({ ...about, what, because: against }));
  return points.toReversed().map((what) => ({
    ...about,
    what,
    because: `${why}; it is unmounted plainly, which fails while anything uses it`,
    removal: [run(command('umount', '--', what))],
  }));
}

function mappings({ guid, record, paths, loops: devices, mappings: all }: RepoTraces, why: string): Leftover[] {
  return all.map((mapping) => {
    const { name, users, isHalfMade } = mapping;
    const about = { kind: 'mapping' as const, what: name, subject: guid, ...nameOf(record) };
    const below = devices.filter(({ device }) => mapping.on.includes(kernelName(device)));
    const against = foreignness(mapping, paths.mapping, below.length) ?? inUse(users);
    const close = isHalfMade ? removeHalfMade(name) : luksClose(name);
    const fix = isHalfMade ? `dmsetup remove ${name}` : `cryptsetup close ${name}`;
    if (against !== undefined) return { ...about, because: against, fix };
    return {
      ...about,
      because: `${why}, and nothing has it mounted or open`,
      // Attached by a command that was cut off before it told the kernel to detach it with the mapping.
      removal: [run(close), ...below.map(({ device }) => run({ ...detachLoop(device), allow: [1] }))],
    };
  });
}

function foreignness({ name, isHalfMade }: Mapping, ours: string, below: number): string | undefined {
  if (name !== ours) return 'somebody else opened the image under this name';
  // One that has no table yet lies on nothing.
  return below === 0 && !isHalfMade ? 'it has our name but does not lie on an image of ours' : undefined;
}

/** Those below a mapping go with it. */
function loops({ guid, record, loops: devices, mappings: above }: RepoTraces, why: string): Leftover[] {
  const free = devices.filter(({ device }) => !above.some(({ on }) => on.includes(kernelName(device))));
  return free.map(({ device, users }) => {
    const about = { kind: 'loop device' as const, what: device, subject: guid, ...nameOf(record) };
    const against = inUse(users);
    if (against !== undefined) return { ...about, because: against, fix: `losetup --detach ${device}` };
    return {
      ...about,
      because: `${why}; no mapping lies on it, and nothing has it mounted or open`,
      removal: [run(detachLoop(device))],
    };
  });
}

/**
 * Told instead of everything else: the image is deleted, and somebody may still want what it holds, whether or not the record
 * was deleted with it. Our own delete closes first. Undefined where nothing shows it any more.
 */
export function lastCopy({
  guid,
  record,
  paths,
  loops: devices,
  mounts: points,
  image,
}: RepoTraces): Leftover | undefined {
  const loop = devices.find(({ deleted }) => deleted);
  if (loop === undefined) return undefined;
  const about = { subject: guid, ...nameOf(record) };
  const because = 'its image was deleted while it was attached: this is the last copy of what it holds';
  const point = points[0];
  if (point !== undefined) {
    return { ...about, kind: 'mount', what: point, because, fix: `copy it elsewhere first: cp -a ${point} DIRECTORY` };
  }
  const target = image ? 'FILE' : paths.image;
  return {
    ...about,
    ...{ kind: 'loop device', what: loop.device, because },
    fix: `put the image back: cp --sparse=always ${loop.device} ${target}`,
  };
}

function inUse(users: readonly string[]): string | undefined {
  return users.length === 0 ? undefined : `in use by ${users.join(', ')}`;
}

function kernelName(device: string): string {
  return device.slice('/dev/'.length);
}

function nameOf(record: RepoTraces['record']): Pick<Leftover, 'repo'> {
  return record === undefined ? {} : { repo: record.name };
}
