// repo list and repo status: what is, read from the machine itself and never from memory.
import type { RepoFacts } from '../lifecycle/facts.ts';
import { readServicesFile } from '../lifecycle/services-file.ts';
import { reportSpace } from '../lifecycle/space.ts';
import type { System } from '../lifecycle/system.ts';
import { isClosed } from '../lifecycle/volume.ts';
import { serviceAddress, subnet } from '../network/address.ts';
import type { Guid } from '../protocol/ids.ts';
import type { InputOf, OutputOf, RepoStatus, RepoSummary, Service } from '../protocol/operations.ts';
import type { Attention } from '../protocol/supervision.ts';
import { listServices } from './containers.ts';
import type { QueryContext } from './handlers.ts';
import { hasEnded } from './last-up.ts';
import { repoPaths } from './layout.ts';
import { readMachine, requireMachine } from './machine-record.ts';
import { limitsOf } from './repo-limits.ts';
import { createRepoStore, type DamagedRecord } from './repo-store.ts';
import { openWorkbench, type Workbench, workbenchOf } from './repo-workbench.ts';
import { reserveBytes } from './volume-space.ts';

/** Who is changing a repository now; the run registry knows. */
export type BusyLookup = (guid: string) => RepoSummary['busy'] | undefined;

/** What the supervisor has done and given up. */
export interface SupervisionLookup {
  attention(guid: Guid): Attention | undefined;
  report(): Promise<OutputOf<'machine.status'>['supervision']>;
}

export interface Lookups {
  busy: BusyLookup;
  supervision: Pick<SupervisionLookup, 'attention'>;
}

export async function listRepos({ system }: QueryContext, lookups: Lookups): Promise<RepoSummary[]> {
  if ((await readMachine(system)) === undefined) return [];
  const machine = await requireMachine(system);
  const store = createRepoStore(system, machine.datastore);
  const { records } = await store.readable();
  const ready = records.filter((record) => record.state === 'ready');
  return Promise.all(
    ready.map(async (record) => {
      const bench = await workbenchOf(system, machine, store, record);
      return summarize(bench, system, await bench.observe(), lookups);
    }),
  );
}

/** What listRepos() cannot tell of. */
export async function damagedRecords({ system }: QueryContext): Promise<DamagedRecord[]> {
  const machine = await readMachine(system);
  return machine === undefined ? [] : (await createRepoStore(system, machine.datastore).readable()).damaged;
}

export async function hasKeyFile({ system }: QueryContext, guid: Guid): Promise<boolean> {
  const { datastore } = await requireMachine(system);
  return (await system.stat(repoPaths(datastore, guid).keyFile)) !== undefined;
}

export async function repoStatus(
  input: InputOf<'repo.status'>,
  context: QueryContext,
  lookups: Lookups,
): Promise<OutputOf<'repo.status'>> {
  const bench = await openWorkbench(context, input.repo);
  const facts = await bench.observe();
  const { target, record } = bench;
  const { paths, net, units } = target;
  const loopDevice = facts.loops[0]?.device;
  return {
    ...(await summarize(bench, context.system, facts, lookups)),
    mountPoint: paths.mountPoint,
    image: paths.image,
    dockerSocket: net.dockerSocket,
    volume: {
      ...(facts.mapping === undefined ? {} : { mapping: paths.mapperDevice }),
      ...(loopDevice === undefined ? {} : { loopDevice }),
      mounted: facts.mounted,
    },
    ...(facts.mounted ? { reserveBytes: await reserveBytes(context.system, target) } : {}),
    ...(await datastoreSpace(context, target.datastore)),
    units: {
      [units.volume]: facts.units.volume.active,
      [units.net]: facts.units.net.active,
      [units.docker]: facts.units.docker.active,
      [units.repo]: facts.units.repo.active,
    },
    ...(await parentName(bench)),
    services: facts.mounted ? await services(bench, context, facts) : [],
    limits: limitsOf(record),
    ...(record.resize === undefined ? {} : { resizingTo: record.resize.sizeBytes }),
    ...(record.lastUp === undefined ? {} : { lastUp: record.lastUp }),
  };
}

async function parentName({ store, record }: Workbench): Promise<Pick<RepoStatus, 'parentName'>> {
  if (record.parent === undefined) return {};
  const parent = (await store.readable()).records.find(({ guid }) => guid === record.parent);
  return parent === undefined ? {} : { parentName: parent.name };
}

async function services({ target }: Workbench, { system }: QueryContext, facts: RepoFacts): Promise<Service[]> {
  if (facts.units.docker.active === 'active' && facts.socket) return listServices(system, target);
  const file = await readServicesFile(system, target);
  return Object.entries(file.services).map(([name, { slot }]) => ({
    name,
    slot,
    ip: serviceAddress(target.networkId, slot),
    state: 'absent',
  }));
}

async function summarize(
  { record, target }: Workbench,
  system: System,
  facts: RepoFacts,
  { busy, supervision }: Lookups,
): Promise<RepoSummary> {
  const running = busy(record.guid);
  const attention = supervision.attention(record.guid);
  const space = facts.mounted ? await system.space(target.paths.mountPoint) : undefined;
  return {
    name: record.name,
    guid: record.guid,
    networkId: record.networkId,
    subnet: subnet(record.networkId),
    state: stateOf(facts, record.lastUp?.outcome),
    sizeBytes: facts.image?.sizeBytes ?? 0,
    allocatedBytes: facts.image?.allocatedBytes ?? 0,
    ...(record.preallocated ? { preallocated: true } : {}),
    ...(space === undefined ? {} : { space: reportSpace(space) }),
    autostart: record.autostart,
    ...(record.parent === undefined ? {} : { parent: record.parent }),
    ...(running === undefined ? {} : { busy: running }),
    ...(attention === undefined ? {} : { attention }),
  };
}

/** "broken": something that no command leaves behind, e.g. a daemon that died or an image that is gone. */
export function stateOf(facts: RepoFacts, lastUp?: string): RepoSummary['state'] {
  if (facts.image === undefined) return 'broken';
  if (isClosed(facts)) return facts.units.docker.active === 'active' ? 'broken' : 'closed';
  if (!facts.mounted || facts.loops.length !== 1) return 'broken';
  if (facts.units.docker.active === 'active') return facts.needsDown ? stateAfterUp(lastUp) : 'daemon';
  return facts.needsDown || facts.units.docker.active === 'failed' ? 'broken' : 'mounted';
}

function stateAfterUp(lastUp: string | undefined): RepoSummary['state'] {
  if (lastUp === 'failed') return 'failed';
  return hasEnded(lastUp) && lastUp !== 'partial' ? 'up' : 'partial';
}

async function datastoreSpace({ system }: QueryContext, path: string): Promise<Pick<RepoStatus, 'datastore'>> {
  const space = await system.space(path);
  return space === undefined ? {} : { datastore: { path, ...reportSpace(space) } };
}
