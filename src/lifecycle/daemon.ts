// The repository's own dockerd: its configuration file and the drop-in of rediacc-docker@{guid}. Nothing of the
// host's docker is read: own config file, own containerd, own sockets, data inside the encrypted volume.
import { CONTAINER_NETWORKS6 } from '../network/address.ts';
import { command } from './command.ts';
import type { Limits } from './limits.ts';
import type { HostIpv6 } from './namespace.ts';
import { daemonView, type HostView, viewOfHost } from './sandbox.ts';
import type { RepoTarget } from './target.ts';
import type { UnitSections } from './unit-text.ts';
import { execLine } from './unit-text.ts';

/** Installed with the agent: systemd/docker-init.sh. */
const DOCKER_INIT = '/usr/lib/rediacc/docker-init';

/**
 * Networks that docker makes by itself: 240 of 4094 addresses. Its own pools have 31, one too few for a repository of 31 compose
 * projects, and half of them out of 192.168.0.0/16: in the namespace docker does not see the host's routes, so it could take
 * the network of the office. The order is docker's, 172.17.0.0 first and 172.31.0.0 last.
 */
const ADDRESS_POOLS = ['172.17.0.0/16', '172.18.0.0/15', '172.20.0.0/14', '172.24.0.0/13'] as const;

export interface DaemonSettings {
  /** They serve Docker Hub names only. */
  registryMirrors: readonly string[];
  host: HostView;
  ipv6: HostIpv6;
  limits: Limits;
}

/** dockerd's daemon.json (docs.docker.com/reference/cli/dockerd): what it rejects on the command line as well stays out. */
export function daemonConfig(target: RepoTarget, { registryMirrors, ipv6 }: DaemonSettings): string {
  const { net, paths } = target;
  const config = {
    hosts: [`unix://${net.daemonSocket}`],
    'data-root': paths.dockerData,
    'exec-root': net.dockerExecRoot,
    pidfile: net.dockerPidFile,
    // Below the daemon's own unit, which is delegated to it (docker-init.sh): the systemd driver would need the system
    // bus in the view of the daemon, and a container with a bind of "/" could start what it likes on the host.
    'cgroup-parent': '/containers',
    'exec-opts': ['native.cgroupdriver=cgroupfs'],
    // Not the docker group: its members on the host would own every repository.
    group: 'root',
    'default-address-pools': [
      ...ADDRESS_POOLS.map((base) => ({ base, size: 20 })),
      ...(ipv6 === 'absent' ? [] : [CONTAINER_NETWORKS6]),
    ],
    // For networks with enable_ipv6: their packets leave with the namespace's address. Before docker 27 that is still experimental.
    ...(ipv6 === 'absent' ? {} : { experimental: true, ip6tables: true }),
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
  return [
    ['Unit', [['Description', `docker daemon of repository ${target.name}`]]],
    [
      'Service',
      [
        ['Slice', net.slice],
        ['NetworkNamespacePath', net.namespacePath],
        ...daemonView(target),
        ...viewOfHost(settings.host),
        // HOME inside the volume: registry logins never come from or go to the host's root.
        ['Environment', `HOME=${target.paths.home}`],
        ['ExecStart', ''],
        ['ExecStart', execLine(command(DOCKER_INIT, 'start', net.dockerConfig))],
        ['ExecReload', `${DOCKER_INIT} reload $MAINPID`],
        ['ExecStop', `-${DOCKER_INIT} stop $MAINPID`],
      ],
    ],
  ];
}
