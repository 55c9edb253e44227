// Every path, socket, unit and device name on the server (SPEC section 3), in one place.
import type { NetworkNames, RepoPaths, RepoTarget, UnitNames } from '../lifecycle/target.ts';
import type { Guid, NetworkId, RepoName } from '../protocol/ids.ts';

export const CONFIG_DIR = '/etc/rediacc';
/** The machine's own record: datastore, registry mirrors. */
export const MACHINE_FILE = '/etc/rediacc/machine.json';
export const GUARD_FILE = '/etc/rediacc/guard.nft';
export const RUNTIME_DIR = '/run/rediacc';
export const AGENT_SOCKET = '/run/rediacc/agent.sock';
export const LOCK_DIR = '/run/rediacc/locks';
/** Held by whatever opens a volume with a memory-hard key derivation. */
export const MEMORY_HARD_LOCK = '/run/rediacc/locks/memory-hard';
export const NEEDS_DOWN_DIR = '/run/rediacc/needs-down';
/** There once the start at boot has been asked for, or need not be: the machine was set up since it booted. */
export const AUTOSTARTED_FLAG = '/run/rediacc/autostarted';
export const STATE_DIR = '/var/lib/rediacc';
export const RUNS_DIR = '/var/lib/rediacc/runs';
export const LIB_DIR = '/usr/lib/rediacc';
/** sha-256 of the bundle that did not start when it was last installed, hex, written by systemd/agent-roll-back.sh. */
export const ROLLED_BACK_FILE = '/usr/lib/rediacc/rolled-back';
export const AGENT_LAUNCHER = '/usr/bin/renet';
export const UNIT_DIR = '/etc/systemd/system';
/** Per-instance drop-ins: gone after a reboot, written again by whoever starts a chain. */
export const RUNTIME_UNIT_DIR = '/run/systemd/system';
export const SUDOERS_FILE = '/etc/sudoers.d/rediacc';

/** Where the datastore keeps what; each repository has one name in each. */
export function datastoreDirectories(datastore: string) {
  return {
    images: `${datastore}/repositories`,
    mounts: `${datastore}/repos`,
    records: `${datastore}/.state`,
    keys: `${datastore}/.credentials/keys`,
  };
}

export function repoPaths(datastore: string, guid: Guid): RepoPaths {
  const { images, mounts, records, keys } = datastoreDirectories(datastore);
  const mountPoint = `${mounts}/${guid}`;
  const mapping = `rediacc-${guid}`;
  const internal = `${mountPoint}/.rediacc`;
  return {
    image: `${images}/${guid}`,
    mountPoint,
    record: `${records}/${guid}.json`,
    keyFile: `${keys}/${guid}.key`,
    headerBackup: `${records}/${guid}.luks-header`,
    mapping,
    mapperDevice: `/dev/mapper/${mapping}`,
    servicesFile: `${mountPoint}/.rediacc.json`,
    internal,
    dockerData: `${internal}/docker`,
    deployed: `${internal}/deployed.json`,
    home: `${internal}/home`,
    reserve: `${internal}/reserve`,
  };
}

/** What a key file is called until it is whole on the disk. */
export function keyFileDraft({ keyFile }: Pick<RepoPaths, 'keyFile'>): string {
  return `${keyFile}.new`;
}

export function networkNames(id: NetworkId): NetworkNames {
  return {
    namespace: `rd${id}`,
    namespacePath: `/run/netns/rd${id}`,
    hostLink: `rdh${id}`,
    slice: `rediacc-${id}.slice`,
    runtimeDir: `${RUNTIME_DIR}/${id}`,
    dockerSocket: `${RUNTIME_DIR}/docker-${id}.sock`,
    daemonSocket: `${RUNTIME_DIR}/${id}/docker.sock`,
    dockerHost: `unix:///var/run/rediacc/docker-${id}.sock`,
    dockerExecRoot: `${RUNTIME_DIR}/${id}/exec`,
    dockerPidFile: `${RUNTIME_DIR}/${id}/docker.pid`,
    dockerConfig: `${RUNTIME_DIR}/${id}/daemon.json`,
  };
}

export function unitNames(guid: Guid): UnitNames {
  return {
    volume: `rediacc-volume@${guid}.service`,
    net: `rediacc-net@${guid}.service`,
    docker: `rediacc-docker@${guid}.service`,
    repo: `rediacc-repo@${guid}.service`,
  };
}

export interface RepoIdentity {
  guid: Guid;
  name: RepoName;
  networkId: NetworkId;
  linkIndex: number;
  preallocated?: true | undefined;
}

export function repoTarget(datastore: string, identity: RepoIdentity): RepoTarget {
  const { guid, name, networkId, linkIndex } = identity;
  return {
    guid,
    name,
    networkId,
    linkIndex,
    datastore,
    preallocated: identity.preallocated === true,
    paths: repoPaths(datastore, guid),
    net: networkNames(networkId),
    units: unitNames(guid),
    needsDownFlag: `${NEEDS_DOWN_DIR}/${guid}`,
  };
}
