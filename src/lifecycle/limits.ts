// How much memory and processor time a repository may take: properties of its slice, so they hold the daemon, every
// container and every function together. What runs is limited at once; what is closed finds its limits at its next start.
import { command } from './command.ts';
import type { RepoFacts } from './facts.ts';
import type { Step } from './step.ts';
import { remove, run } from './step.ts';
import type { RepoTarget } from './target.ts';
import type { UnitSections } from './unit-text.ts';

/** Absent: no limit. */
export interface Limits {
  memoryBytes?: number | undefined;
  /** How many processors' time, e.g. 1.5. */
  cpus?: number | undefined;
}

/** As the kernel shows them: memory.max and cpu.max of the slice (Documentation/admin-guide/cgroup-v2.rst). */
export interface SliceLimits {
  memory: string;
  cpu: string;
}

/** The kernel rounds down to pages, which are 64 KiB at most. */
const PAGE_BYTES = 64 * 1024;
/** CPUQuota= is in whole percents of one processor. */
const CPU_STEP = 0.01;

/** Each key is named always, so that a limit taken away goes away (systemd.resource-control(5)). */
function sliceProperties({ memoryBytes, cpus }: Limits): [key: string, value: string][] {
  return [
    ['MemoryMax', memoryBytes === undefined ? 'infinity' : String(memoryBytes)],
    // What does not fit ends instead of moving to the host's disk, which is not the repository's.
    ['MemorySwapMax', memoryBytes === undefined ? 'infinity' : '0'],
    ['CPUQuota', cpus === undefined ? '' : `${Math.round(cpus * 100)}%`],
  ];
}

/** Drop-in of the slice. */
export function limitsDropIn({ memoryBytes, cpus }: Limits): UnitSections {
  return [['Slice', sliceProperties({ memoryBytes, cpus })]];
}

/**
 * The drop-in is what counts when the slice starts; systemd does not look at it again for one that runs (systemd 257),
 * which `set-property` is for. What that leaves on disk would outlive the repository, so it goes at once.
 */
export function limitsSteps(declare: Step<RepoFacts>, { net }: RepoTarget, limits: Limits): Step<RepoFacts>[] {
  const properties = sliceProperties(limits);
  const left = properties.map(([key]) => `/run/systemd/system.control/${net.slice}.d/50-${key}.conf`);
  const words = properties.map(([key, value]) => `${key}=${value}`);
  return [
    {
      id: 'limits.apply',
      title: 'put the limits into force',
      already: 'the limits are in force, or nothing runs',
      changesUnitFiles: true,
      isDone: (facts) => facts.presentFiles.length === 0 || (declare.isDone(facts) && areInForce(limits, facts)),
      actions: (facts) => [
        ...(facts.sliceLimits === undefined
          ? []
          : [run(command('systemctl', 'set-property', '--runtime', net.slice, ...words)), ...left.map(remove)]),
        ...declare.actions(facts),
      ],
    },
  ];
}

/** The kernel holds what is wanted, or there is no slice yet. */
function areInForce({ memoryBytes, cpus }: Limits, { sliceLimits }: RepoFacts): boolean {
  if (sliceLimits === undefined) return true;
  return isMemory(sliceLimits.memory, memoryBytes) && isCpu(sliceLimits.cpu, cpus);
}

function isMemory(found: string, wanted: number | undefined): boolean {
  if (wanted === undefined || found === 'max') return wanted === undefined && found === 'max';
  return wanted >= Number(found) && wanted - Number(found) < PAGE_BYTES;
}

/** "150000 100000": microseconds of each period. */
function isCpu(found: string, wanted: number | undefined): boolean {
  const [quota = 'max', period = '100000'] = found.split(' ');
  if (wanted === undefined || quota === 'max') return wanted === undefined && quota === 'max';
  return Math.abs(Number(quota) / Number(period) - wanted) < CPU_STEP;
}
