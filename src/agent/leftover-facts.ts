// Every trace of every repository on the machine, by GUID and by network id, read without changing anything. Throws
// CONFIG_INVALID where a record is damaged: nothing is judged then.
import { observeAllDevices } from '../lifecycle/block-devices.ts';
import { isOpen, type LeftoverFacts, type RepoTraces } from '../lifecycle/leftover-facts.ts';
import { luksMetadata } from '../lifecycle/luks.ts';
import { KEYFILE_SLOT } from '../lifecycle/luks-key-file.ts';
import { parseMountinfo } from '../lifecycle/mountinfo.ts';
import type { System } from '../lifecycle/system.ts';
import { type Guid, guidSchema } from '../protocol/ids.ts';
import { type DeviceQuestion, findDeviceUsers } from './device-users.ts';
import { CONFIG_DIR, datastoreDirectories, NEEDS_DOWN_DIR, RUNTIME_DIR, repoPaths } from './layout.ts';
import { observeNetworkTraces } from './network-traces.ts';
import { createRepoStore, type RepoRecord } from './repo-store.ts';
import { findDropIns, listUnits, type UnitWorld } from './unit-traces.ts';

const GUID_TEXT = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
/** What writeFileAtomic adds to a name while it writes. */
const UNFINISHED = /\.[0-9a-f]{12}\.tmp$/;

/** One look at everything that has names. */
async function lookAround(system: System, datastore: string) {
  const directories = datastoreDirectories(datastore);
  const list = async (path: string) => (await system.list(path)) ?? [];
  const [devices, mountinfo, units, dropIns, records, images, keys, mountPoints, needsDown, runtime, config] =
    await Promise.all([
      observeAllDevices(system),
      system.readFile('/proc/self/mountinfo'),
      listUnits(system),
      findDropIns(system),
      list(directories.records),
      list(directories.images),
      list(directories.keys),
      list(directories.mounts),
      list(NEEDS_DOWN_DIR),
      list(RUNTIME_DIR),
      list(CONFIG_DIR),
    ]);
  const mounts = parseMountinfo(mountinfo ?? '');
  return {
    directories,
    devices,
    mounts,
    units,
    dropIns,
    records,
    images,
    keys,
    mountPoints,
    needsDown,
    runtime,
    config,
  };
}
type World = Awaited<ReturnType<typeof lookAround>> & UnitWorld;

export async function observeLeftovers(system: System, datastore: string): Promise<LeftoverFacts> {
  const records = await createRepoStore(system, datastore).list();
  const world = await lookAround(system, datastore);
  const bare = guidsIn(world).map((guid) => tracesOf(guid, world, records, datastore));
  const repos = await withUsers(system, world, await Promise.all(bare.map((traces) => lookInside(system, traces))));
  const open = new Set(repos.filter(isOpen).map(({ guid }) => guid));
  return {
    repos,
    networks: await observeNetworkTraces(system, { ...world, records, open }),
    temporaryFiles: world.config
      .filter((name) => name.startsWith('machine.json.') && UNFINISHED.test(name))
      .map((name) => `${CONFIG_DIR}/${name}`),
  };
}

/** In byte order. */
function guidsIn(world: World): Guid[] {
  const { directories, devices, mounts, units, dropIns } = world;
  const inside = (path: string, directory: string) => (path.startsWith(`${directory}/`) ? [path] : []);
  const names = [
    ...world.records,
    ...world.images,
    ...world.keys,
    ...world.mountPoints,
    ...world.needsDown,
    ...world.runtime,
    ...units.map(({ name }) => name),
    ...dropIns.map(({ path }) => path),
    ...devices.mappings.map(({ name }) => name).filter((name) => name.startsWith('rediacc-')),
    ...devices.loops.flatMap(({ backingFile }) => inside(backingFile, directories.images)),
    ...mounts.flatMap(({ mountPoint }) => inside(mountPoint, directories.mounts)),
  ];
  const found = names.flatMap((name) => GUID_TEXT.exec(name)?.[0] ?? []);
  return [...new Set(found)].sort().map((guid) => guidSchema.parse(guid));
}

/** What follows from names alone. */
function tracesOf(guid: Guid, world: World, records: readonly RepoRecord[], datastore: string): RepoTraces {
  const { directories, devices, mounts } = world;
  const paths = repoPaths(datastore, guid);
  const record = records.find((one) => one.guid === guid);
  const loops = devices.loops.filter(({ backingFile }) => backingFile === paths.image);
  const names = loops.map(({ device }) => device.slice('/dev/'.length));
  const mappings = devices.mappings.filter(
    ({ name, on }) => name === paths.mapping || on.some((one) => names.includes(one)),
  );
  const isAt = (path: string) => path === paths.mountPoint || path.startsWith(`${paths.mountPoint}/`);
  const unfinished = (name: string) => name.startsWith(guid) && UNFINISHED.test(name);
  return {
    ...{ guid, paths, record },
    image: world.images.includes(guid),
    headerBackup: world.records.includes(`${guid}.luks-header`),
    keyFile: world.keys.includes(`${guid}.key`),
    keySlot: 'unknown',
    loops: loops.map((loop) => ({ ...loop, users: [] })),
    mappings: mappings.map((mapping) => ({ ...mapping, users: [] })),
    mounts: mounts.map(({ mountPoint }) => mountPoint).filter(isAt),
    mountPoint: 'absent',
    units: world.units.filter(({ name }) => name.includes(guid)),
    dropIns: world.dropIns.filter(({ path }) => path.includes(`@${guid}.service.d`)),
    runtimeFiles: [
      ...world.needsDown.filter((name) => name === guid).map((name) => `${NEEDS_DOWN_DIR}/${name}`),
      ...world.runtime.filter((name) => name === `freeze-${guid}`).map((name) => `${RUNTIME_DIR}/${name}`),
    ],
    temporaryFiles: [
      ...world.records.filter(unfinished).map((name) => `${directories.records}/${name}`),
      ...world.images.filter((name) => name.startsWith(`${guid}.probe`)).map((name) => `${directories.images}/${name}`),
      ...world.keys.filter((name) => name === `${guid}.key.new`).map((name) => `${directories.keys}/${name}`),
    ],
  };
}

/** Only where it will matter: an open repository is never listed, and its header not read. */
async function lookInside(system: System, traces: RepoTraces): Promise<RepoTraces> {
  const { paths, record, mounts, keyFile, image } = traces;
  const isAsked = keyFile && image && record !== undefined && !record.autostart;
  return {
    ...traces,
    mountPoint: mounts.includes(paths.mountPoint) ? 'mounted' : await contentOf(system, paths.mountPoint),
    keySlot: isAsked ? await keySlot(system, paths.image) : 'unknown',
  };
}

async function contentOf(system: System, directory: string): Promise<RepoTraces['mountPoint']> {
  const names = await system.list(directory);
  if (names === undefined) return 'absent';
  return names.length === 0 ? 'empty' : 'filled';
}

async function keySlot(system: System, image: string): Promise<RepoTraces['keySlot']> {
  // 1, 4: no LUKS header, or none that can be read (cryptsetup(8)).
  const { exitCode, stdout } = await system.run({ ...luksMetadata(image), allow: [1, 4] });
  if (exitCode !== 0) return 'unknown';
  const { keyslots = {} } = JSON.parse(stdout) as { keyslots?: Record<string, unknown> };
  return String(KEYFILE_SLOT) in keyslots ? 'used' : 'free';
}

/** Of all devices that a planner may call dead, with one look at the processes. */
async function withUsers(system: System, { mounts }: World, all: readonly RepoTraces[]): Promise<RepoTraces[]> {
  const questions = all.flatMap((traces): DeviceQuestion[] => {
    const { mappings, loops, record } = traces;
    if (record?.state === 'ready' && isOpen(traces)) return [];
    return [
      ...mappings.map(({ kernelName, deviceNumber }) => ({ kernelName, deviceNumber, except: traces.mounts })),
      ...loops
        .map(({ device }) => device.slice('/dev/'.length))
        .filter((name) => !mappings.some(({ on }) => on.includes(name)))
        .map((kernelName) => ({ kernelName })),
    ];
  });
  const users = await findDeviceUsers(system, mounts, questions);
  return all.map((traces) => ({
    ...traces,
    loops: traces.loops.map((loop) => ({ ...loop, users: users.get(loop.device.slice('/dev/'.length)) ?? [] })),
    mappings: traces.mappings.map((mapping) => ({ ...mapping, users: users.get(mapping.kernelName) ?? [] })),
  }));
}
