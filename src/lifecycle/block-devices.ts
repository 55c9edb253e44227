// Which loop devices and device-mapper mappings exist; nothing is changed.
import { isCode } from '../protocol/errors.ts';
import { command } from './command.ts';
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
  /** It has no table in force: who made it was killed before it had given it one (dmsetup(8), create and resume). */
  isHalfMade?: true;
}

export interface BlockDevices {
  loops: LoopDevice[];
  mappings: Mapping[];
}

/** From sysfs: no process is started. Sources: Documentation/ABI/testing/sysfs-block-loop, sysfs-block-dm of the kernel. */
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

/** Mappings that have no table at all as well, which are not in sysfs. They are asked for first: one that gets its table meanwhile is whole. */
export async function observeAllDevices(system: System): Promise<BlockDevices> {
  const named = await namedMappings(system);
  const { loops, mappings } = await observeBlockDevices(system);
  const bare = named.filter(({ name }) => !mappings.some((mapping) => mapping.name === name));
  return { loops, mappings: [...mappings, ...bare] };
}

async function namedMappings(system: System): Promise<Mapping[]> {
  const list = ['info', '--columns', '--noheadings', '--separator', ':', '--options', 'name,major,minor'];
  try {
    // 1: also where the kernel has no device-mapper loaded, and so no mapping.
    const { stdout } = await system.run({ ...command('dmsetup', ...list), allow: [1] });
    return [...stdout.matchAll(/^(\S+):(\d+):(\d+)$/gm)].map(([, name = '', major, minor]) => {
      return { kernelName: `dm-${minor}`, name, deviceNumber: `${major}:${minor}`, on: [], isHalfMade: true };
    });
  } catch (error) {
    // That it is missing is told by another check.
    if (isCode(error, 'TOOL_MISSING')) return [];
    throw error;
  }
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
  const isHalfMade = (await system.readFile(`/sys/block/${name}/size`))?.trim() === '0';
  const mapping = { kernelName: name, name: mappingName.trim(), deviceNumber: deviceNumber.trim(), on };
  return isHalfMade ? { ...mapping, isHalfMade } : mapping;
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
