// How much memory and processor time a repository may take: properties of its slice, so they hold the daemon, every
// container and every function together. What runs is limited at once; what is closed finds its limits at its next start.
import type { RepoFacts } from './facts.ts';
import type { Step } from './step.ts';
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

/** Drop-in of the slice (systemd.resource-control(5)). Each key is named always, so that a limit taken away goes away. */
export function limitsDropIn({ memoryBytes, cpus }: Limits): UnitSections {
  return [
    [
      'Slice',
      [
        ['MemoryMax', memoryBytes === undefined ? 'infinity' : String(memoryBytes)],
        // What does not fit ends instead of moving to the disk, and its host's disk is not the repository's.
        ['MemorySwapMax', memoryBytes === undefined ? 'infinity' : '0'],
        ['CPUQuota', cpus === undefined ? '' : `${Math.round(cpus * 100)}%`],
      ],
    ],
  ];
}

/** `declare` writes the drop-in and makes systemd read it, which puts it into force; this one sees that it is. */
export function limitsSteps(declare: Step<RepoFacts>, limits: Limits): Step<RepoFacts>[] {
  return [
    {
      ...declare,
      id: 'limits.apply',
      title: 'put the limits into force',
      already: 'the limits are in force, or nothing runs',
      isDone: (facts) => facts.presentFiles.length === 0 || (declare.isDone(facts) && areInForce(limits, facts)),
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
