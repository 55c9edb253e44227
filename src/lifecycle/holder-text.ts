// Holders of a volume in words: process, pid, container and namespace. Pure.
import type { Holder, VolumeHolders } from './holders.ts';

export interface ContainerRef {
  id: string;
  /** GUID of the repository whose daemon runs it; undefined: of the host. */
  repo: string | undefined;
  /** "docker", or "podman" where its scope says so. */
  engine: 'docker' | 'podman';
}

/** More than these are counted. */
const MOST_NAMED = 20;

/** From names as docker's systemd and cgroupfs drivers make them: ".../docker-{id}.scope", ".../containers/{id}". */
export function containerOf({ cgroup }: Pick<Holder, 'cgroup'>): ContainerRef | undefined {
  const id = /([0-9a-f]{64})/.exec(cgroup)?.[1];
  if (id === undefined) return undefined;
  const repo = /rediacc-docker@([0-9a-f-]{36})\.service/.exec(cgroup)?.[1];
  return { id, repo, engine: cgroup.includes('libpod-') ? 'podman' : 'docker' };
}

/** `nameOf`: what to call a container, e.g. `container "db" of the host's docker`. One entry per process name and unit. */
export function describeHolders(
  { processes, mounts, loops, stacked }: VolumeHolders,
  nameOf: (container: ContainerRef) => string,
): string[] {
  const groups = new Map<string, Holder[]>();
  for (const holder of processes) {
    const key = `${holder.process} ${holder.cgroup}`;
    groups.set(key, [...(groups.get(key) ?? []), holder]);
  }
  const named = [
    ...[...groups.values()].map((group) => describeGroup(group, nameOf)),
    ...mounts.map((mountPoint) => `a mount at ${mountPoint}`),
    ...loops.map((device) => `${device}, attached to a file in it`),
    ...stacked.map((device) => `the device ${device} upon it`),
  ];
  const rest = named.length - MOST_NAMED;
  return rest <= 0 ? named : [...named.slice(0, MOST_NAMED), `${rest} more`];
}

function describeGroup(group: readonly Holder[], nameOf: (container: ContainerRef) => string): string {
  const [first] = group as [Holder];
  const others = group.length === 1 ? '' : ` and ${group.length - 1} more of it`;
  return `${describeProcess(first, nameOf)}${others}`;
}

/** "postgres (pid 7, container "db" of the host's docker, mount namespace of its own)" */
export function describeProcess(holder: Holder, nameOf: (container: ContainerRef) => string): string {
  const { process, pid, cgroup, ownView } = holder;
  const container = containerOf(holder);
  const place = container === undefined ? (cgroup.split('/').at(-1) ?? '') : nameOf(container);
  const parts = [`pid ${pid}`, ...(place === '' ? [] : [place]), ...(ownView ? ['mount namespace of its own'] : [])];
  return `${process} (${parts.join(', ')})`;
}
