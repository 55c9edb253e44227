// machine.setup: refuse, install, put in place, look again. Nothing is changed before everything that can be refused
// has been looked at.
import { converge, planSteps } from '../lifecycle/run-plan.ts';
import { RdcError } from '../protocol/errors.ts';
import type { Check, InputOf, OutputOf } from '../protocol/operations.ts';
import { planReserve, setUpReserve } from './datastore-reserve.ts';
import type { Finished, RunContext } from './handlers.ts';
import { type HostFacts, missingNeeds } from './host-facts.ts';
import { POOL_NEEDS } from './host-needs.ts';
import { installUnits } from './install-units.ts';
import { readMachine } from './machine-record.ts';
import { judge, observePreflight } from './preflight.ts';
import { observePackageStage, type PackageStage, packageSteps } from './setup-packages.ts';
import { observeManagers, planSetup, type SetupPlan } from './setup-plan.ts';
import { resolveSetup, type SetupRequest } from './setup-request.ts';

export interface SetupDeps {
  /** Milliseconds since the epoch. */
  now(): number;
}

export async function setUpMachine(
  input: InputOf<'machine.setup'>,
  context: RunContext,
  { now }: SetupDeps,
): Promise<Finished<OutputOf<'machine.setup'>>> {
  const { system } = context;
  const request = await resolveSetup(system, input, await readMachine(system));
  const { host } = await refuseUnfit(context, request);
  const extraNeeds = request.pool === undefined ? [] : [POOL_NEEDS[request.pool.filesystem]];
  const stage: PackageStage = { datastore: request.datastore, extraNeeds, now };
  const managers = await observeManagers(system, host.programs);
  const planWith = (programs: HostFacts['programs']) =>
    planSetup(request, { managers, programs, now: new Date(now()).toISOString() });
  if (context.dryRun) return report(context, stage, planWith(host.programs));

  const installed = await converge(packageSteps(), {
    ...context,
    observe: () => observePackageStage(system, stage),
  });
  const units = await installUnits(system);
  const { host: after } = await observePreflight(system, request.datastore);
  const plan = planWith(after.programs);
  const changed = await converge(plan.steps, { ...context, observe: () => plan.observe(system) });
  const reserved = await setUpReserve(context, request.datastore);
  tellAboutDocker(context, host, after);
  const checks = judge(await observePreflight(system, request.datastore));
  return {
    outcome: 'done',
    output: { datastore: request.datastore, checks, changed: installed || units.length > 0 || changed || reserved },
  };
}

async function report(
  { system, report: tell }: RunContext,
  stage: PackageStage,
  plan: SetupPlan,
): Promise<Finished<OutputOf<'machine.setup'>>> {
  const packages = planSteps(packageSteps(), await observePackageStage(system, stage));
  const steps = planSteps(plan.steps, await plan.observe(system));
  tell({ kind: 'plan', steps: [...packages, ...steps, await planReserve(system, stage.datastore)] });
  return { outcome: 'planned' };
}

async function refuseUnfit({ system }: RunContext, { datastore }: SetupRequest) {
  const facts = await observePreflight(system, datastore);
  const failed = judge(facts).filter((check) => check.status === 'failed');
  if (failed.length === 0) return facts;
  throw new RdcError('HOST_NOT_SUITABLE', `this machine cannot hold repositories: ${failed.map(describe).join('; ')}`, {
    hint: failed[0]?.fix,
  });
}

function describe({ title, found }: Check): string {
  return `${title}: ${found}`;
}

/** The only thing about docker that somebody could wonder at later. */
function tellAboutDocker({ report: tell }: RunContext, before: HostFacts, after: HostFacts): void {
  const wasMissing = missingNeeds(before).some((need) => need.id === 'docker');
  if (!wasMissing || missingNeeds(after).some((need) => need.id === 'docker')) return;
  tell({
    kind: 'warning',
    message: "docker was installed for the repositories' own daemons; the machine's own docker service stays off",
    hint: 'if you want it as well: systemctl enable --now docker',
  });
}
