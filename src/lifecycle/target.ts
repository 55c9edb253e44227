// One repository as the planners see it: its identity and every name that follows from it. Built by agent/layout.ts.
import type { Guid, NetworkId, RepoName } from '../protocol/ids.ts';

export interface RepoPaths {
  image: string;
  mountPoint: string;
  record: string;
  keyFile: string;
  headerBackup: string;
  mapping: string;
  mapperDevice: string;
  servicesFile: string;
  /** Everything of ours inside the volume. */
  internal: string;
  dockerData: string;
  /** Which directories are up, and from what files: agent/deployed.ts. */
  deployed: string;
  home: string;
  /** Takes room that can be given up on a full volume. */
  reserve: string;
}

export interface NetworkNames {
  namespace: string;
  namespacePath: string;
  hostLink: string;
  slice: string;
  /** Everything of the daemon under /run, alone in its directory, so that its view can hold this and nothing else. */
  runtimeDir: string;
  /** The name that users know: a link to daemonSocket. */
  dockerSocket: string;
  daemonSocket: string;
  /** As users see it: /var/run is /run. */
  dockerHost: string;
  dockerExecRoot: string;
  dockerPidFile: string;
  dockerConfig: string;
}

export interface UnitNames {
  volume: string;
  net: string;
  docker: string;
  repo: string;
}

export interface RepoTarget {
  guid: Guid;
  name: RepoName;
  networkId: NetworkId;
  /** Which pair of link addresses the namespace's veth uses; unique on the machine. */
  linkIndex: number;
  datastore: string;
  /** The image has all its blocks, and keeps them. */
  preallocated: boolean;
  paths: RepoPaths;
  net: NetworkNames;
  units: UnitNames;
  /** Present while the repository needs its down() run before the daemon stops. */
  needsDownFlag: string;
}
