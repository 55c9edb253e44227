// Two services of a repository that publish the same port: docker starts the first and fails at the second. Pure.
import { usesHostNetwork } from './compose-warnings.ts';
import { type Finding, placeOf } from './finding.ts';
import { isSamePort, type PublishedPort, publishedPorts } from './ports.ts';
import { child, textOf } from './tree-merge.ts';
import type { Tree } from './yaml-tree.ts';

export interface PublishingService {
  name: string;
  /** Of its Rediaccfile: services of one name in two directories are two. */
  directory: string;
  value: Tree;
}

interface Taken extends PublishedPort {
  service: PublishingService;
}

/** Across the directories of the repository: they share its addresses. */
export function portConflicts(services: readonly PublishingService[]): Finding[] {
  const taken = new Map<string, Taken[]>();
  const found: Finding[] = [];
  for (const service of services) {
    if (usesHostNetwork(service.value)) continue;
    for (const port of publishedPorts(service.value)) {
      if (port.hostPort === undefined) continue;
      const key = `${port.hostPort}/${port.protocol}`;
      const before = taken.get(key) ?? [];
      const other = before.find((one) => isSamePort(one, port) && mayRunTogether(one.service, service));
      if (other === undefined) taken.set(key, [...before.slice(0, MOST_PER_PORT), { ...port, service }]);
      else found.push(conflict(other, { ...port, service }));
    }
  }
  return found;
}

/** Services that share a port by profiles or addresses of their own are few. */
const MOST_PER_PORT = 64;

/** Services that each belong to profiles, none of them common, are alternatives: cpu and gpu. */
function mayRunTogether(a: PublishingService, b: PublishingService): boolean {
  if (a.name === b.name && a.directory === b.directory) return false;
  const mine = profilesOf(a.value);
  const theirs = profilesOf(b.value);
  return mine.length === 0 || theirs.length === 0 || mine.some((profile) => theirs.includes(profile));
}

function profilesOf(service: Tree): string[] {
  const profiles = child(service, 'profiles');
  return profiles?.kind === 'list' ? profiles.items.flatMap((item) => textOf(item) ?? []) : [];
}

function conflict(first: Taken, { file, line, hostPort, protocol, service }: Taken): Finding {
  const message = `service "${service.name}" publishes port ${hostPort}/${protocol}, which "${first.service.name}" (${placeOf(first)}) publishes too`;
  return { file, line, rule: 'port-conflict', severity: 'warning', message };
}
