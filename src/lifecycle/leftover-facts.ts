// What the planners of leftovers know: every trace of every repository on the machine, known to it or not. Read by
// agent/leftover-facts.ts.
import type { Guid, NetworkId, RepoName } from '../protocol/ids.ts';
import type { LoopDevice, Mapping } from './block-devices.ts';
import type { NetworkNames, RepoPaths } from './target.ts';

/** Whoever has the device open, mounted or stacked upon, in words: "mkfs.ext4 (pid 12)". Empty: nobody. */
interface Used {
  users: string[];
}

export interface UnitTrace {
  name: string;
  /** systemd's ActiveState. */
  active: string;
}

export interface DropInTrace {
  /** Of the directory, e.g. /run/systemd/system/rediacc-net@….service.d. */
  path: string;
  /** Names of files in it that we write. */
  ours: string[];
  /** Others put files there too: the directory stays. */
  shared: boolean;
}

export interface RepoTraces {
  guid: Guid;
  /** undefined: the machine does not know it. */
  record: { name: RepoName; networkId: NetworkId; state: 'creating' | 'ready'; autostart: boolean } | undefined;
  paths: RepoPaths;
  image: boolean;
  headerBackup: boolean;
  keyFile: boolean;
  /** Of the image's slot for the machine's own key; looked at only where there is a key file without autostart. */
  keySlot: 'used' | 'free' | 'unknown';
  /** On the image, also where it was deleted since. */
  loops: (LoopDevice & Used)[];
  /** Of our name, or on those loop devices. */
  mappings: (Mapping & Used)[];
  /** Mount points at and below its own, as the host has them, the oldest first. */
  mounts: string[];
  mountPoint: 'absent' | 'empty' | 'filled' | 'mounted';
  units: UnitTrace[];
  dropIns: DropInTrace[];
  /** Small files in /run/rediacc that are named after it. */
  runtimeFiles: string[];
  temporaryFiles: string[];
}

export interface NetworkTraces {
  networkId: NetworkId;
  names: NetworkNames;
  /** undefined: of nobody. */
  owner: Guid | undefined;
  namespace: boolean;
  link: boolean;
  /** In the namespace or the slice, in words. */
  processes: string[];
  units: UnitTrace[];
  dropIns: DropInTrace[];
  /** Of the daemon, below /run/rediacc: the link to its socket, its directory. */
  runtimePaths: string[];
}

export interface LeftoverFacts {
  repos: RepoTraces[];
  networks: NetworkTraces[];
  /** Of the machine's own record. */
  temporaryFiles: string[];
}

const RUNNING = ['active', 'activating', 'deactivating', 'reloading', 'refreshing'];

export function isRunning({ active }: UnitTrace): boolean {
  return RUNNING.includes(active);
}

/** Mounted, or systemd has anything of it in hand. */
export function isOpen({ mounts, units }: RepoTraces): boolean {
  return mounts.length > 0 || units.some(isRunning);
}
