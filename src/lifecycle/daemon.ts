// The repository's own dockerd: its configuration file and the drop-in of rediacc-docker@{guid}. Nothing of the
// host's docker is read: own config file, own containerd, own sockets, data inside the encrypted volume.
import { daemonView } from './sandbox.ts';
import type { RepoTarget } from './target.ts';
import type { UnitSections } from './unit-text.ts';
import { execLine } from './unit-text.ts';

export interface DaemonSettings {
  /** They serve Docker Hub names only. */
  registryMirrors: readonly string[];
  /** The host's resolv.conf names a loopback stub, unreachable from the namespace: this file is seen instead. */
  resolvConf: string | undefined;
}

/** dockerd's daemon.json (docs.docker.com/reference/cli/dockerd): what it rejects on the command line as well stays out. */
export function daemonConfig(target: RepoTarget, { registryMirrors }: DaemonSettings): string {
  const { net, paths } = target;
  const config = {
    hosts: [`unix://${net.dockerSocket}`],
    'data-root': paths.dockerData,
    'exec-root': net.dockerExecRoot,
    pidfile: net.dockerPidFile,
    'cgroup-parent': net.slice,
    'exec-opts': ['native.cgroupdriver=systemd'],
    // Not the docker group: its members on the host would own every repository.
    group: 'root',
    'userland-proxy': false,
    'live-restore': false,
    'log-driver': 'local',
    'log-opts': { 'max-size': '10m', 'max-file': '3' },
    'registry-mirrors': registryMirrors,
    // Plain http is allowed for exactly the mirrors that were configured as such.
    'insecure-registries': registryMirrors.filter((url) => url.startsWith('http://')).map((url) => new URL(url).host),
    'shutdown-timeout': 20,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

export function daemonDropIn(target: RepoTarget, settings: DaemonSettings): UnitSections {
  const { net } = target;
  const start = { file: '/usr/sbin/dockerd', args: ['--config-file', net.dockerConfig] };
  return [
    ['Unit', [['Description', `docker daemon of repository ${target.name}`]]],
    [
      'Service',
      [
        ['Slice', net.slice],
        ['NetworkNamespacePath', net.namespacePath],
        ...daemonView(target),
        ...(settings.resolvConf === undefined
          ? []
          : ([['BindReadOnlyPaths', `${settings.resolvConf}:/etc/resolv.conf`]] as const)),
        // HOME inside the volume: registry logins never come from or go to the host's root.
        ['Environment', `HOME=${target.paths.home}`],
        ['ExecStart', ''],
        ['ExecStart', execLine(start)],
      ],
    ],
  ];
}
