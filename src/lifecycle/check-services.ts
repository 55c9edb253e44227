// Everything that can be told about a mounted repository from its files alone, before anything runs: which services it
// has, and what is wrong or strange in compose files and Rediaccfiles. Reads only.
import { posix } from 'node:path';
import { bindsOf } from '../network/binds.ts';
import { type PublishingService, portConflicts } from '../network/compose-conflicts.ts';
import { checkService, checkTopLevel } from '../network/compose-warnings.ts';
import { type Finding, Refusal } from '../network/finding.ts';
import { publishedPorts } from '../network/ports.ts';
import { checkRediaccfileText } from '../network/rediaccfile-warnings.ts';
import { addressUses } from '../network/service-addresses.ts';
import { checkNames, distinctNames, type NamedService } from '../network/service-names.ts';
import { isLegalName, type ServicesFile, serviceEnvironment, serviceVariable } from '../network/services.ts';
import type { Tree } from '../network/yaml-tree.ts';
import { loadCompose, servicesIn } from './compose-files.ts';
import type { ComposeSource } from './compose-source.ts';
import type { Rediaccfile } from './rediaccfile.ts';
import type { System } from './system.ts';
import type { RepoTarget } from './target.ts';

export interface ServiceCheck {
  /** Errors first, then by file and line. */
  findings: Finding[];
  /** Names in the order in which they get slots. */
  names: string[];
  /** Absolute paths that services may write to, of the machine too. */
  data: string[];
}

/** A larger Rediaccfile is not looked into. */
const MAX_REDIACCFILE_BYTES = 16 * 1024 ** 2;

/** Never throws for what users wrote: every refusal becomes a finding. */
export async function checkServices(
  system: System,
  target: RepoTarget,
  rediaccfiles: readonly Rediaccfile[],
  slots: ServicesFile,
): Promise<ServiceCheck> {
  const { mountPoint } = target.paths;
  const findings: Finding[] = [];
  const source = { system, mountPoint, env: knownEnvironment(target, slots), findings, reads: { count: 0 } };
  const services: (NamedService & PublishingService)[] = [];
  for (const { directory, path, file } of rediaccfiles) {
    findings.push(...(await checkRediaccfile(source, `${path}/${file}`)));
    const project = await projectOrFinding(source, path);
    if (project === undefined) continue;
    for (const [name, { line, value }] of servicesIn(project)) {
      findings.push(...checkService({ name, line, value }, mountPoint));
      services.push({ name, directory, file: value.origin.file, line, value });
    }
    findings.push(...checkTopLevel(project, mountPoint));
  }
  findings.push(
    ...checkNames(services, slots),
    ...portConflicts(services),
    ...addressUses(services, target.networkId),
    ...portsNote(services),
  );
  const data = services.flatMap(({ value }) => bindsOf(value)).filter(({ readOnly }) => !readOnly);
  return { findings: inOrder(findings), names: distinctNames(services), data: data.map(({ path }) => path) };
}

async function projectOrFinding(source: ComposeSource, directory: string): Promise<Tree | undefined> {
  try {
    return await loadCompose(source, directory);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    source.findings.push(error.finding);
    return undefined;
  }
}

async function checkRediaccfile({ system, mountPoint }: ComposeSource, path: string): Promise<Finding[]> {
  const read = await system.readInside(mountPoint, path, MAX_REDIACCFILE_BYTES);
  return 'text' in read ? checkRediaccfileText(posix.relative(mountPoint, path), read.text) : [];
}

/** What a function has in its environment and a compose file may use; a service that has no slot yet is unknown. */
function knownEnvironment({ networkId, guid, paths, net }: RepoTarget, { services }: ServicesFile) {
  const legal = Object.entries(services).filter(([name]) => isLegalName(name));
  const unique = new Map(legal.map(([name, entry]) => [serviceVariable(name), [name, entry] as const]));
  return {
    ...serviceEnvironment(networkId, { services: Object.fromEntries(unique.values()) }),
    REPOSITORY_PATH: paths.mountPoint,
    REDIACC_WORKING_DIR: paths.mountPoint,
    REPOSITORY_NAME: guid,
    REDIACC_REPOSITORY: guid,
    REPOSITORY_NETWORK_ID: String(networkId),
    REDIACC_NETWORK_ID: String(networkId),
    DOCKER_HOST: net.dockerHost,
    HOME: paths.home,
  };
}

/** Once: what `ports:` means here is not what it means elsewhere. */
function portsNote(services: readonly PublishingService[]): Finding[] {
  for (const { value } of services) {
    const [port] = publishedPorts(value);
    if (port === undefined) continue;
    const message =
      '"ports" publishes on the addresses of the repository, reachable on the server itself: nothing is reachable from the LAN';
    return [{ file: port.file, line: port.line, rule: 'ports-are-local', severity: 'note', message }];
  }
  return [];
}

const RANK = { error: 0, warning: 1, note: 2 } as const;

/** The same place is read twice where two services extend it: told once. */
function inOrder(findings: readonly Finding[]): Finding[] {
  const unique = new Map(findings.map((one) => [JSON.stringify([one.file, one.line, one.rule, one.message]), one]));
  return [...unique.values()].sort(
    (a, b) =>
      RANK[a.severity] - RANK[b.severity] ||
      (a.file < b.file ? -1 : a.file > b.file ? 1 : (a.line ?? 0) - (b.line ?? 0)),
  );
}
