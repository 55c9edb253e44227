// Which loop devices and device-mapper mappings exist, read from sysfs: no process is started, nothing is changed.
import type { System } from './system.ts';

export interface LoopDevice {
  /** "/dev/loop3" */
  device: string;
  backingFile: string;
  /** The backing file has been unlinked. */
  deleted: boolean;
  /** It detaches itself on its last close (loop(4), LO_FLAGS_AUTOCLEAR). */
  autoclear: boolean;
}

export interface Mapping {
  /** Kernel name, "dm-0". */
  kernelName: string;
  /** "rediacc-…" */
  name: string;
  /** major:minor, as in mountinfo. */
  deviceNumber: string;
  /** Kernel names of what it lies on, e.g. ["loop3"]. */
  on: string[];
}

export interface BlockDevices {
  loops: LoopDevice[];
  mappings: Mapping[];
}

/** Sources: Documentation/ABI/testing/sysfs-block-loop, sysfs-block-dm of the kernel. */
export async function observeBlockDevices(system: System): Promise<BlockDevices> {
  const names = (await system.list('/sys/block')) ?? [];
  const loops = await Promise.all(
    names.filter((name) => name.startsWith('loop')).map((name) => readLoop(system, name)),
  );
  const mappings = await Promise.all(
    names.filter((name) => name.startsWith('dm-')).map((name) => readMapping(system, name)),
  );
  return {
    loops: loops.filter((loop) => loop !== undefined),
    mappings: mappings.filter((mapping) => mapping !== undefined),
  };
}

async function readLoop(system: System, name: string): Promise<LoopDevice | undefined> {
  const text = await system.readFile(`/sys/block/${name}/loop/backing_file`);
  if (text === undefined) return undefined;
  const path = text.replace(/\n$/, '');
  const deleted = path.endsWith(' (deleted)');
  const autoclear = (await system.readFile(`/sys/block/${name}/loop/autoclear`))?.trim() === '1';
  const backingFile = deleted ? path.slice(0, -' (deleted)'.length) : path;
  return { device: `/dev/${name}`, backingFile, deleted, autoclear };
}

async function readMapping(system: System, name: string): Promise<Mapping | undefined> {
  const mappingName = await readDmAttribute(system, `/sys/block/${name}/dm/name`);
  const deviceNumber = await system.readFile(`/sys/block/${name}/dev`);
  if (mappingName === undefined || deviceNumber === undefined) return undefined;
  const on = (await system.list(`/sys/block/${name}/slaves`)) ?? [];
  return { kernelName: name, name: mappingName.trim(), deviceNumber: deviceNumber.trim(), on };
}

/** Of a mapping that is just being removed, it answers EINVAL (dm_attr_show() in drivers/md/dm-sysfs.c). */
async function readDmAttribute(system: System, path: string): Promise<string | undefined> {
  try {
    return await system.readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EINVAL') return undefined;
    throw error;
  }
}
