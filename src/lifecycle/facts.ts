// What is true of one repository on the machine, read without changing anything. Cheap: files of /proc and /sys,
// and one systemctl for all its units: `show`, which gathers all properties of each, takes three times as long as `list-units`, and
// half of it in systemd itself.

import type { BlockDevices, LoopDevice, Mapping } from './block-devices.ts';
import { observeBlockDevices } from './block-devices.ts';
import { command } from './command.ts';
import type { SliceLimits } from './limits.ts';
import { parseMountinfo } from './mountinfo.ts';
import type { Since } from './run-plan.ts';
import type { System } from './system.ts';
import type { RepoTarget } from './target.ts';

export interface UnitState {
  /** systemd's ActiveState: active, inactive, failed, activating, deactivating. */
  active: string;
}

export interface RepoFacts {
  image: { sizeBytes: number; allocatedBytes: number; mode: number } | undefined;
  /** A key file or a header backup lies beside the image. */
  keyMaterial: boolean;
  /** Loop devices whose backing file is the image. More than one is a danger to the data. */
  loops: LoopDevice[];
  /** Mappings on those loop devices. More than one likewise. */
  mappings: Mapping[];
  /** Our mapping exists under its right name, wherever it lies. */
  mapping: Mapping | undefined;
  /** One of that name that was never finished, and opens nothing. */
  halfMade: boolean;
  mounted: boolean;
  /** Namespace file and host link both exist. */
  namespace: boolean;
  namespaceLeft: boolean;
  /** The daemon's socket is there, under the name that users know as well. */
  socket: boolean;
  socketLeft: boolean;
  needsDown: boolean;
  /** Processes in the repository's slice, containers and functions included. */
  sliceBusy: boolean;
  /** undefined: no slice, so nothing runs. */
  sliceLimits: SliceLimits | undefined;
  /** Our directories inside the volume exist. */
  directories: boolean;
  /** What lies in the place of one of them, as a link that leads out of the volume. */
  inTheirPlace: string | undefined;
  /** Declared files that are missing or differ. */
  staleFiles: string[];
  /** Declared files that exist. */
  presentFiles: string[];
  /** systemd has not yet read what is on disk, or knows a unit without its drop-in. */
  needsReload: boolean;
  units: { volume: UnitState; net: UnitState; docker: UnitState; repo: UnitState };
}

export interface ExpectedFile {
  path: string;
  text: string;
}

export type RepoObserver = (since?: Since<RepoFacts>) => Promise<RepoFacts>;

/**
 * For the looks of one run. On a slow machine systemd is slow to answer, so it is asked only for what may have changed: whether
 * it has read the unit files once, and again when a step has changed them.
 */
export function repoObserver(system: System, target: RepoTarget, files: readonly ExpectedFile[]): RepoObserver {
  let isRead = false;
  return async (since) => {
    isRead &&= since?.unitFiles !== true;
    const units = since === undefined || since.unitStates ? undefined : since.before.units;
    const facts = await observeRepo(system, target, files, isRead ? { needsReload: false, units } : {});
    isRead = !facts.needsReload;
    return facts;
  };
}

/** Answers of systemd that still hold. `units` only beside `needsReload`. */
interface Known {
  needsReload?: boolean;
  units?: RepoFacts['units'] | undefined;
}

/** @param files what units.ts declares for this repository */
async function observeRepo(
  system: System,
  target: RepoTarget,
  files: readonly ExpectedFile[],
  known: Known = {},
): Promise<RepoFacts> {
  const { paths, net } = target;
  const cgroup = `/sys/fs/cgroup/rediacc.slice/${net.slice}`;
  const [
    image,
    devices,
    mountinfo,
    netns,
    link,
    socket,
    socketName,
    flag,
    slice,
    memoryMax,
    cpuMax,
    loaded,
    internal,
    home,
    dockerData,
    keyFile,
    headerBackup,
    contents,
  ] = await Promise.all([
    system.stat(paths.image),
    observeBlockDevices(system),
    system.readFile('/proc/self/mountinfo'),
    system.stat(net.namespacePath),
    system.stat(`/sys/class/net/${net.hostLink}`),
    system.stat(net.daemonSocket),
    system.stat(net.dockerSocket),
    system.stat(target.needsDownFlag),
    system.readFile(`${cgroup}/cgroup.events`),
    system.readFile(`${cgroup}/memory.max`),
    system.readFile(`${cgroup}/cpu.max`),
    known.units === undefined ? loadedUnits(system, target) : new Map<string, string>(),
    system.stat(paths.internal),
    system.stat(paths.home),
    system.stat(paths.dockerData),
    system.stat(paths.keyFile),
    system.stat(paths.headerBackup),
    Promise.all(files.map(async ({ path, text }) => ({ path, expected: text, found: await system.readFile(path) }))),
  ]);
  const volume = volumeDevices(devices, target);
  const presentFiles = contents.filter(({ found }) => found !== undefined).map(({ path }) => path);
  return {
    image:
      image?.kind === 'file'
        ? { sizeBytes: image.sizeBytes, allocatedBytes: image.allocatedBytes, mode: image.mode }
        : undefined,
    keyMaterial: keyFile !== undefined || headerBackup !== undefined,
    ...volume,
    mounted: parseMountinfo(mountinfo ?? '').some(
      (mount) => mount.mountPoint === paths.mountPoint && mount.device === volume.mapping?.deviceNumber,
    ),
    namespace: netns !== undefined && link !== undefined,
    namespaceLeft: netns !== undefined || link !== undefined,
    socket: socket?.kind === 'socket' && socketName !== undefined,
    socketLeft: socket !== undefined || socketName !== undefined,
    needsDown: flag !== undefined,
    // A controller that nobody needs yet is not there.
    sliceLimits: slice === undefined ? undefined : { memory: memoryMax?.trim() ?? 'max', cpu: cpuMax?.trim() ?? 'max' },
    sliceBusy: slice?.includes('populated 1') ?? false,
    directories: home !== undefined && dockerData !== undefined,
    inTheirPlace: (
      [
        [paths.internal, internal],
        [paths.home, home],
        [paths.dockerData, dockerData],
      ] as const
    ).find(([, found]) => found !== undefined && found.kind !== 'directory')?.[0],
    staleFiles: contents.filter(({ expected, found }) => expected !== found).map(({ path }) => path),
    presentFiles,
    needsReload: known.needsReload ?? (await needsReload(system, [...loaded.keys()], presentFiles)),
    units: known.units ?? unitStates(target, loaded),
  };
}

function volumeDevices(
  { loops, mappings }: BlockDevices,
  { paths }: RepoTarget,
): Pick<RepoFacts, 'loops' | 'mappings' | 'mapping' | 'halfMade'> {
  const ours = loops.filter((loop) => loop.backingFile === paths.image && !loop.deleted);
  const names = new Set(ours.map((loop) => loop.device.slice('/dev/'.length)));
  const named = mappings.find((mapping) => mapping.name === paths.mapping);
  return {
    loops: ours,
    mappings: mappings.filter((mapping) => mapping.on.some((device) => names.has(device))),
    mapping: named?.isHalfMade ? undefined : named,
    halfMade: named?.isHalfMade ?? false,
  };
}

/** ActiveState of those units of the chain that systemd has in memory; it reads the files of others when it first hears of them. */
async function loadedUnits(system: System, { units }: RepoTarget): Promise<Map<string, string>> {
  const names = [units.volume, units.net, units.docker, units.repo];
  const flags = ['--all', '--full', '--plain', '--no-legend', '--no-pager'];
  const { stdout } = await system.run(command('systemctl', 'list-units', ...flags, ...names));
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  return new Map(rows.flatMap(([name = '', , active = '']) => (names.includes(name) ? [[name, active]] : [])));
}

function unitStates({ units }: RepoTarget, loaded: ReadonlyMap<string, string>): RepoFacts['units'] {
  const state = (name: string): UnitState => ({ active: loaded.get(name) ?? 'inactive' });
  return { volume: state(units.volume), net: state(units.net), docker: state(units.docker), repo: state(units.repo) };
}

async function needsReload(
  system: System,
  units: readonly string[],
  presentFiles: readonly string[],
): Promise<boolean> {
  if (units.length === 0) return false;
  const { stdout } = await system.run(
    command('systemctl', 'show', '--property=NeedDaemonReload,DropInPaths', ...units),
  );
  const dropIns = [...stdout.matchAll(/^DropInPaths=(.*)$/gm)].flatMap(([, paths = '']) => paths.split(' '));
  // Without its drop-in a unit is another one: it starts nothing, and shields nothing.
  const isRead = (path: string) => dropIns.includes(path) || !units.some((unit) => path.includes(`/${unit}.d/`));
  return /^NeedDaemonReload=yes$/m.test(stdout) || !presentFiles.every(isRead);
}
