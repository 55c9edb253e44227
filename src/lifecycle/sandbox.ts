// What code of a repository may see of the host: its own mount and nothing else of the datastore, its own docker
// socket and no other socket of ours, the host's or the system's, everything else read-only. As systemd properties
// (systemd.exec(5)); what these cannot say is in systemd/docker-init.sh and systemd/function-init.sh.
import type { RepoTarget } from './target.ts';

type Property = readonly [key: string, value: string];

/** What is written outside the volume goes to memory, which counts against the repository's slice, and only so much. */
const SCRATCH = ['/tmp:mode=1777,size=256M', '/var/tmp:mode=1777,size=256M'] as const;

/** Of the host's: other repositories' output, other daemons' data, keys. */
const HIDDEN = [
  '/var/lib/rediacc',
  '/etc/rediacc',
  '/var/lib/docker',
  '/var/lib/containerd',
  '/var/log',
  '/var/spool',
  '/etc/ssh',
  '/boot',
] as const;

/** The datastore hidden under a tmpfs, with the repository's own mount bound through; all else read-only. */
function ownMountOnly({ datastore, paths }: RepoTarget): Property[] {
  return [
    ['ProtectSystem', 'strict'],
    ['ProtectHome', 'tmpfs'],
    ['PrivateIPC', 'yes'],
    ['TemporaryFileSystem', '/run:mode=0755,size=64M'],
    ...SCRATCH.map((path): Property => ['TemporaryFileSystem', path]),
    ...HIDDEN.map((path): Property => ['InaccessiblePaths', `-${path}`]),
    ['TemporaryFileSystem', `${datastore}:mode=0711`],
    ['BindPaths', paths.mountPoint],
    ['ReadWritePaths', paths.mountPoint],
  ];
}

/** For the daemon: containers with a bind of "/" see what it sees. */
export function daemonView(target: RepoTarget): Property[] {
  return [
    ...ownMountOnly(target),
    // dockerd would silently share the host's containerd if it saw its socket; /run is empty, so it starts its own.
    ['BindPaths', target.net.runtimeDir],
    // Where "ready" is told (sd_notify(3)).
    ['BindReadOnlyPaths', '/run/systemd/notify'],
    ['InaccessiblePaths', '-/etc/shadow'],
    ['InaccessiblePaths', '-/etc/gshadow'],
  ];
}

/**
 * For functions and exec: root, but not over the host. CAP_SYS_ADMIN is left to function-init, which drops it.
 * CAP_DAC_READ_SEARCH opens files of hidden mounts by their handle (open_by_handle_at(2)).
 */
export function functionView(target: RepoTarget): Property[] {
  const { daemonSocket, dockerSocket } = target.net;
  return [
    ...ownMountOnly(target),
    ['BindPaths', `-${daemonSocket}:${dockerSocket}`],
    ['TemporaryFileSystem', '/dev/shm:mode=1777,size=64M'],
    ['ProtectKernelTunables', 'yes'],
    ['ProtectControlGroups', 'yes'],
    [
      'CapabilityBoundingSet',
      '~CAP_SYS_PTRACE CAP_SYS_MODULE CAP_SYS_RAWIO CAP_MKNOD CAP_NET_ADMIN CAP_SYS_BOOT CAP_SYS_TIME CAP_DAC_READ_SEARCH CAP_SYSLOG CAP_BPF CAP_PERFMON CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_CHECKPOINT_RESTORE CAP_SYS_RESOURCE',
    ],
    ['DevicePolicy', 'closed'],
  ];
}

/** Words to put before a function's own: it becomes the first process of its PID namespace and has what it may have. */
export const FUNCTION_INIT = [
  '/usr/bin/unshare',
  '--pid',
  '--mount',
  '--fork',
  '--kill-child',
  '--',
  '/usr/lib/rediacc/function-init',
] as const;

/** Which servers a repository asks for names, where the host's own file would not do. Both are absolute paths. */
export interface ResolvConf {
  /** What is read. */
  source: string;
  /** Where /etc/resolv.conf leads to, without links: /run is hidden, so a file that lies there is put back. */
  place: string;
}

/** What of the host's own arrangements decides what its repositories see. */
export interface HostView {
  /** undefined: the host's own /etc/resolv.conf does. */
  resolvConf: ResolvConf | undefined;
  /** Where the host's own docker keeps its data, if not in /var/lib/docker. */
  dockerData: string | undefined;
}

export function viewOfHost({ resolvConf, dockerData }: HostView): Property[] {
  return [
    ...(resolvConf === undefined
      ? []
      : [['BindReadOnlyPaths', `${resolvConf.source}:${resolvConf.place}`] satisfies Property]),
    ...(dockerData === undefined ? [] : [['InaccessiblePaths', `"-${dockerData}"`] satisfies Property]),
  ];
}
