// repo limits: kept in the machine's record of the repository, in force at once where it runs.
import { limitsSteps } from '../lifecycle/limits.ts';
import type { System } from '../lifecycle/system.ts';
import { declareStep } from '../lifecycle/units.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { formatSize } from '../protocol/size.ts';
import type { Finished, QueryContext, RunContext } from './handlers.ts';
import type { RepoRecord } from './repo-store.ts';
import { identity } from './repo-volume.ts';
import { carryOut, openWorkbench, type Workbench, workbenchOf } from './repo-workbench.ts';

export async function showLimits(
  input: InputOf<'repo.limits'>,
  context: QueryContext,
): Promise<OutputOf<'repo.limits'>> {
  const bench = await openWorkbench(context, input.repo);
  const memoryUsedBytes = (await memoryUse(context.system, bench)) ?? null;
  return { ...identity(bench), ...limitsOf(bench.record), memoryUsedBytes };
}

export async function setLimits(
  { repo, memoryBytes, cpus }: InputOf<'repo.set-limits'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.set-limits'>>> {
  const { machine, store, record: before } = await openWorkbench(context, repo);
  const current = limitsOf(before);
  const wanted = {
    memoryBytes: memoryBytes === undefined ? current.memoryBytes : memoryBytes,
    cpus: cpus === undefined ? current.cpus : cpus,
  };
  const recorded = wanted.memoryBytes !== current.memoryBytes || wanted.cpus !== current.cpus;
  const record = {
    ...before,
    limits: { memoryBytes: wanted.memoryBytes ?? undefined, cpus: wanted.cpus ?? undefined },
  };
  const bench = await workbenchOf(context.system, machine, store, record);
  await warnOfUse(bench, context);
  if (recorded && !context.dryRun) await store.save(record);
  const steps = limitsSteps(declareStep(bench.target, bench.files), bench.target, record.limits);
  const applied = await carryOut(bench, context, steps);
  if (context.dryRun) return { outcome: 'planned' };
  return { outcome: 'done', output: { ...identity(bench), ...wanted, changed: recorded || applied } };
}

export function limitsOf({ limits }: RepoRecord): Pick<OutputOf<'repo.limits'>, 'memoryBytes' | 'cpus'> {
  return { memoryBytes: limits?.memoryBytes ?? null, cpus: limits?.cpus ?? null };
}

async function warnOfUse(bench: Workbench, { system, report }: RunContext): Promise<void> {
  const limit = bench.record.limits?.memoryBytes;
  const used = await memoryUse(system, bench);
  if (limit === undefined || used === undefined || used <= limit) return;
  report({
    kind: 'warning',
    message: `"${bench.record.name}" takes ${formatSize(used)} of memory now: what does not fit into ${formatSize(limit)} is ended by the kernel`,
  });
}

/** Caches that the kernel gives back by itself are part of it. */
async function memoryUse(system: System, { target }: Workbench): Promise<number | undefined> {
  const text = await system.readFile(`/sys/fs/cgroup/rediacc.slice/${target.net.slice}/memory.current`);
  return text === undefined ? undefined : Number(text);
}
