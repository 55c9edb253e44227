// Traces of network ids: links, namespaces, the runtime files of daemons, and units that are named after them.
import { command } from '../lifecycle/command.ts';
import type { NetworkTraces } from '../lifecycle/leftover-facts.ts';
import type { System } from '../lifecycle/system.ts';
import { type NetworkId, networkIdSchema } from '../protocol/ids.ts';
import { networkNames, RUNTIME_DIR } from './layout.ts';
import type { RepoRecord } from './repo-store.ts';
import type { UnitWorld } from './unit-traces.ts';

/** Names that hold a network id, each with what is around it. */
const NAMES = [
  /^rdh(\d+)$/,
  /^rd(\d+)$/,
  /^(\d+)$/,
  /^docker-(\d+)\.sock$/,
  /^rediacc-(\d+)\.slice$/,
  /^rediacc-(?:function|compose|transfer)-(\d+)-.*\.service$/,
];
const DROP_IN = /\/rediacc-(\d+)\.slice\.d$/;

export interface NetworkWorld extends UnitWorld {
  records: readonly RepoRecord[];
  /** Names below /run/rediacc. */
  runtime: readonly string[];
  /** Of repositories that are open: what is theirs is in use. */
  open: ReadonlySet<string>;
}

export async function observeNetworkTraces(system: System, world: NetworkWorld): Promise<NetworkTraces[]> {
  const links = (await system.list('/sys/class/net')) ?? [];
  const namespaces = (await system.list('/run/netns')) ?? [];
  const { units, dropIns, runtime, records, open } = world;
  const inUse = records.filter(({ guid }) => open.has(guid)).map(({ networkId }) => networkId);
  const names = [
    ...links.filter((name) => name.startsWith('rdh')),
    ...namespaces.filter((name) => name.startsWith('rd')),
    ...runtime,
    ...units.map(({ name }) => name),
  ];
  const ids = [...names.map(idIn), ...dropIns.map(({ path }) => numberOf(DROP_IN.exec(path)?.[1]))];
  const known = [...new Set(ids.filter((id): id is NetworkId => id !== undefined && !inUse.includes(id)))].sort(
    (a, b) => a - b,
  );
  return Promise.all(known.map((networkId) => tracesOf(system, networkId, { ...world, links, namespaces })));
}

function idIn(name: string): NetworkId | undefined {
  for (const pattern of NAMES) {
    const id = numberOf(pattern.exec(name)?.[1]);
    if (id !== undefined) return id;
  }
  return undefined;
}

/** Numbers that are no network id were given by somebody else. */
function numberOf(text: string | undefined): NetworkId | undefined {
  return text === undefined ? undefined : networkIdSchema.safeParse(Number(text)).data;
}

async function tracesOf(
  system: System,
  networkId: NetworkId,
  world: NetworkWorld & { links: readonly string[]; namespaces: readonly string[] },
): Promise<NetworkTraces> {
  const names = networkNames(networkId);
  const namespace = world.namespaces.includes(names.namespace);
  const runtimePaths = [names.dockerSocket, names.runtimeDir];
  return {
    ...{ networkId, names, namespace },
    owner: world.records.find((record) => record.networkId === networkId)?.guid,
    link: world.links.includes(names.hostLink),
    processes: [
      ...(namespace ? await processesIn(system, names.namespace) : []),
      ...((await isPopulated(system, names.slice)) ? [`those of ${names.slice}`] : []),
    ],
    units: world.units.filter(({ name }) => idIn(name) === networkId),
    dropIns: world.dropIns.filter(({ path }) => numberOf(DROP_IN.exec(path)?.[1]) === networkId),
    runtimePaths: runtimePaths.filter((path) => world.runtime.includes(path.slice(RUNTIME_DIR.length + 1))),
  };
}

/** Exit code 1 where the namespace's file is no namespace: then nobody is in it. */
async function processesIn(system: System, namespace: string): Promise<string[]> {
  const { stdout } = await system.run({ ...command('ip', 'netns', 'pids', namespace), allow: [1, 255] });
  const pids = stdout.split('\n').filter((line) => /^\d+$/.test(line));
  return Promise.all(
    pids.map(async (pid) => `${((await system.readFile(`/proc/${pid}/comm`)) ?? '?').trim()} (pid ${pid})`),
  );
}

/** cgroups(7), "cgroup.events". */
async function isPopulated(system: System, slice: string): Promise<boolean> {
  const events = await system.readFile(`/sys/fs/cgroup/rediacc.slice/${slice}/cgroup.events`);
  return events?.includes('populated 1') ?? false;
}
