// What the second stage of setup looks at: files, directories, the pool, units and firewalls.
import { observeBlockDevices } from '../lifecycle/block-devices.ts';
import { parseMountinfo } from '../lifecycle/mountinfo.ts';
import type { System } from '../lifecycle/system.ts';
import { type FirewallFacts, observeFirewall } from './firewall-facts.ts';
import { observeServices, type ServiceState } from './host-facts.ts';
import { type MachineRecord, readMachine } from './machine-record.ts';

export interface SetupFacts {
  record: MachineRecord | undefined;
  files: Record<string, { text: string; mode: number } | undefined>;
  directories: Record<string, { mode: number; isRoots: boolean } | undefined>;
  /** What is mounted at the datastore: our pool, or a filesystem of somebody else's. */
  mount: { filesystem: string; isPool: boolean } | undefined;
  /** Size of the pool's image; undefined where there is none. */
  poolImageBytes: number | undefined;
  services: Record<string, ServiceState>;
  firewall: FirewallFacts;
}

export interface Watched {
  datastore: string;
  poolImage: string;
  files: readonly string[];
  directories: readonly string[];
  services: readonly string[];
  programs: Readonly<Record<string, string>>;
}

export async function observeSetup(system: System, watched: Watched): Promise<SetupFacts> {
  const services = await observeServices(system, [...watched.services, 'firewalld.service']);
  const [record, files, directories, mount, image, firewall] = await Promise.all([
    readMachine(system),
    collect(watched.files, (path) => observeFile(system, path)),
    collect(watched.directories, (path) => observeDirectory(system, path)),
    observeMount(system, watched.datastore, watched.poolImage),
    system.stat(watched.poolImage),
    observeFirewall(system, watched.programs, services),
  ]);
  return { record, files, directories, mount, poolImageBytes: image?.sizeBytes, services, firewall };
}

async function collect<T>(keys: readonly string[], look: (key: string) => Promise<T>): Promise<Record<string, T>> {
  return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, await look(key)] as const)));
}

async function observeFile(system: System, path: string): Promise<SetupFacts['files'][string]> {
  const text = await system.readFile(path);
  const stat = await system.stat(path);
  return text === undefined || stat?.kind !== 'file' ? undefined : { text, mode: stat.mode & 0o7777 };
}

async function observeDirectory(system: System, path: string): Promise<SetupFacts['directories'][string]> {
  const stat = await system.stat(path);
  if (stat?.kind !== 'directory') return undefined;
  return { mode: stat.mode & 0o7777, isRoots: stat.uid === 0 };
}

/** The last mount at a place is the one that is seen. */
export async function observeMount(system: System, path: string, poolImage: string): Promise<SetupFacts['mount']> {
  const mounts = parseMountinfo((await system.readFile('/proc/self/mountinfo')) ?? '');
  const mount = mounts.findLast(({ mountPoint }) => mountPoint === path);
  if (mount === undefined) return undefined;
  const { loops } = await observeBlockDevices(system);
  const isPool = loops.some(({ device, backingFile }) => device === mount.source && backingFile === poolImage);
  return { filesystem: mount.filesystem, isPool };
}
