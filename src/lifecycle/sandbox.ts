// What code of a repository may see of the host: its own mount and nothing else of the datastore, its own docker
// socket and no other socket of ours, the host's or the system's. As systemd properties (systemd.exec(5)).
import type { RepoTarget } from './target.ts';

type Property = readonly [key: string, value: string];

/** The datastore hidden under a tmpfs, with the repository's own mount bound through. */
function ownMountOnly({ datastore, paths }: RepoTarget): Property[] {
  return [
    ['TemporaryFileSystem', `${datastore}:mode=0711`],
    ['BindPaths', paths.mountPoint],
  ];
}

/** For the daemon: containers with a bind of "/" see what it sees. */
export function daemonView(target: RepoTarget): Property[] {
  return [
    ...ownMountOnly(target),
    // dockerd would silently share the host's containerd if it saw its socket; not seeing it, it starts its own.
    ['TemporaryFileSystem', '/run/containerd'],
    ['InaccessiblePaths', '-/run/docker.sock'],
    ['InaccessiblePaths', '-/run/rediacc/agent.sock'],
    ['InaccessiblePaths', '-/run/rediacc/locks'],
    ['InaccessiblePaths', '-/var/lib/rediacc'],
    ['InaccessiblePaths', '-/etc/rediacc'],
  ];
}

/** For functions, exec and file transfer: root, but not over the host. */
export function functionView(target: RepoTarget): Property[] {
  const { dockerSocket } = target.net;
  return [
    ...ownMountOnly(target),
    ['TemporaryFileSystem', '/run/rediacc'],
    ['BindPaths', `-${dockerSocket}`],
    ...[
      '/run/docker.sock',
      '/run/containerd',
      '/run/dbus',
      '/run/systemd/private',
      '/var/lib/rediacc',
      '/etc/rediacc',
    ].map((path): Property => ['InaccessiblePaths', `-${path}`]),
    [
      'CapabilityBoundingSet',
      '~CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_SYS_MODULE CAP_SYS_RAWIO CAP_MKNOD CAP_NET_ADMIN CAP_SYS_BOOT CAP_SYS_TIME',
    ],
    ['DevicePolicy', 'closed'],
  ];
}
