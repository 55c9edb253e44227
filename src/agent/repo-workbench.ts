// What every operation on one repository starts from: its record, its target, the files its units need, and a way to
// look at it.
import type { DaemonSettings } from '../lifecycle/daemon.ts';
import type { RepoFacts } from '../lifecycle/facts.ts';
import { type RepoObserver, repoObserver } from '../lifecycle/facts.ts';
import { converge, planSteps } from '../lifecycle/run-plan.ts';
import type { Step } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import type { DeclaredFile } from '../lifecycle/units.ts';
import { declaredFiles } from '../lifecycle/units.ts';
import { closeVolumeSteps } from '../lifecycle/volume.ts';
import type { RepoRef } from '../protocol/ids.ts';
import type { QueryContext, RunContext } from './handlers.ts';
import { observeDockerData } from './host-docker.ts';
import { observeIpv6 } from './host-ipv6.ts';
import { RUNTIME_UNIT_DIR, repoTarget } from './layout.ts';
import { type MachineRecord, requireMachine } from './machine-record.ts';
import type { RepoRecord, RepoStore } from './repo-store.ts';
import { createRepoStore } from './repo-store.ts';
import { observeResolvConf } from './resolv-conf.ts';

export interface Workbench {
  machine: MachineRecord;
  store: RepoStore;
  record: RepoRecord;
  target: RepoTarget;
  settings: DaemonSettings;
  files: DeclaredFile[];
  observe: RepoObserver;
}

export async function openWorkbench({ system }: QueryContext, ref: RepoRef): Promise<Workbench> {
  const machine = await requireMachine(system);
  const store = createRepoStore(system, machine.datastore);
  const record = await store.resolve(ref);
  return workbenchOf(system, machine, store, record);
}

export async function workbenchOf(
  system: System,
  machine: MachineRecord,
  store: RepoStore,
  record: RepoRecord,
): Promise<Workbench> {
  const target = repoTarget(machine.datastore, record);
  const host = {
    resolvConf: await observeResolvConf(system),
    dockerData: await observeDockerData(system, machine.datastore),
  };
  const settings = {
    registryMirrors: machine.registryMirrors,
    host,
    ipv6: await observeIpv6(system),
    limits: record.limits ?? {},
  };
  const files = declaredFiles(target, settings, RUNTIME_UNIT_DIR);
  return { machine, store, record, target, settings, files, observe: repoObserver(system, target, files) };
}

/** The same repository through another system. */
export function workbenchBy(system: System, { machine, record }: Workbench): Promise<Workbench> {
  return workbenchOf(system, machine, createRepoStore(system, machine.datastore), record);
}

/** Runs the steps, or in a dry run reports what they would do. True when something changed. `facts`: of just now. */
export async function carryOut(
  bench: Workbench,
  context: RunContext,
  steps: readonly Step<RepoFacts>[],
  facts?: RepoFacts,
): Promise<boolean> {
  const first = facts ?? (await bench.observe());
  if (context.dryRun) {
    context.report({ kind: 'plan', steps: planSteps(steps, first) });
    return false;
  }
  const { system, undoing, report } = context;
  return converge(steps, { system, undoing, report, observe: bench.observe }, first);
}

/** Closes its volume again, without a word; by a system that outlives a cancellation, after one. Throws what the closing throws. */
export async function closeQuietly(system: System, bench: Workbench): Promise<void> {
  const { target, observe } = await workbenchBy(system, bench);
  await converge(closeVolumeSteps(target), { system, report: () => undefined, observe });
}
