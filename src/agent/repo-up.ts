// repo up: volume, daemon, slots, and the passes over the Rediaccfiles.
import type { FunctionName } from '../lifecycle/function-call.ts';
import { type Failure, runPass } from '../lifecycle/passes.ts';
import { findRediaccfiles, type Rediaccfile } from '../lifecycle/rediaccfile.ts';
import { planSteps } from '../lifecycle/run-plan.ts';
import { updateServicesFile } from '../lifecycle/services-file.ts';
import { promiseDownStep, startDaemonSteps } from '../lifecycle/services-plan.ts';
import { messageOf, RdcError } from '../protocol/errors.ts';
import type { PlanStep } from '../protocol/events.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { findFaults, refuseFaults } from './check-rediaccfiles.ts';
import { listServices, stopContainers } from './containers.ts';
import { callStep, passRequest } from './function-pass.ts';
import type { Finished, RunContext } from './handlers.ts';
import { releaseContainers } from './held-containers.ts';
import { noteLastUp } from './last-up.ts';
import { type Opening, openVolume, stepsOf } from './open-volume.ts';
import { prepareCalls } from './prepare-calls.ts';
import { repairHeaderBackup } from './repair-header-backup.ts';
import { planNetworkRepair, repairNetwork } from './repair-network.ts';
import { repairAutostart } from './repo-autostart.ts';
import { stateOf } from './repo-queries.ts';
import { identity, openSteps } from './repo-volume.ts';
import { carryOut, openWorkbench, type Workbench } from './repo-workbench.ts';
import { chooseScope, forgetDeployed, rememberDeployed, type Scope, scopeName, snapshot } from './up-scope.ts';
import { reportWarnings, warnOfNothing } from './up-warnings.ts';
import { refuseFull, setReserveAside } from './volume-space.ts';
import { writeOut } from './write-out.ts';

type UpInput = InputOf<'repo.up'>;

export async function upRepo(input: UpInput, context: RunContext): Promise<Finished<OutputOf<'repo.up'>>> {
  const bench = await openWorkbench(context, input.repo);
  const opening = await openSteps(bench, context, { credential: input.credential, toStart: true });
  if (!input.mount && !(await bench.observe()).mounted) {
    throw new RdcError('FAILED', `repository "${bench.record.name}" is closed and --no-mount was given`, {
      hint: `rdc repo mount ${bench.record.name}`,
    });
  }
  if (context.dryRun) return planUp(bench, context, opening, input);

  await openVolume(bench, context, opening);
  const found = await findRediaccfiles(context.system, bench.target.paths.mountPoint);
  const scope = await chooseScope(bench, context, found, input);
  if (scope.isEmpty) return unchanged(bench, context);
  await setReserveAside(bench, context);
  await refuseFull(bench, context);
  if (input.credential !== undefined) {
    await repairAutostart(bench, context, input.credential);
    await repairHeaderBackup(bench, context, input.credential, opening);
  }
  await repairNetwork(context);
  if (!input.prepOnly) await noteLastUp(bench, context, 'begun');
  const facts = await bench.observe();
  const daemonWasUp = facts.units.docker.active === 'active';
  const promise = input.prepOnly ? [] : [promiseDownStep(bench.target)];
  await carryOut(bench, context, [...promise, ...startDaemonSteps(bench.target)], facts);
  // After a dirty stop dockerd restarts containers by itself; prep must not meet half a stack.
  if (!daemonWasUp) await stopContainers(bench.target, context);
  await releaseContainers(context.system, bench.target);

  try {
    const { failed, called, isWhole } = await runUpPasses(bench, context, input, scope);
    await writeOut(bench, context);
    const outcome = failed.length === 0 ? 'done' : 'partial';
    const failures = failed.map(({ where, reason }) => `${where} (${reason})`).join(', ');
    const why = failures === '' && !isWhole ? 'not every directory was called' : failures;
    if (!input.prepOnly) await noteLastUp(bench, context, isWhole ? outcome : 'partial', why);
    const services = await listServices(context.system, bench.target);
    const state = input.prepOnly ? 'daemon' : isWhole ? 'up' : 'partial';
    const directories = called.map(scopeName);
    return { outcome, output: { ...identity(bench), state, changed: true, services, directories, failed } };
  } catch (error) {
    if (!input.prepOnly) await noteLastUp(bench, context, 'failed', messageOf(error));
    throw error;
  }
}

/** Nothing of it is to be called, and it is up. */
async function unchanged(bench: Workbench, { system, report }: RunContext): Promise<Finished<OutputOf<'repo.up'>>> {
  const detail = 'no file has changed since its last good up()';
  report({ kind: 'step', id: 'pass.up', title: 'call every up()', state: 'already', detail });
  const services = await listServices(system, bench.target);
  const state = stateOf(await bench.observe(), bench.record.lastUp?.outcome);
  return {
    outcome: 'done',
    output: { ...identity(bench), state, changed: false, services, directories: [], failed: [] },
  };
}

interface Passed {
  failed: Failure[];
  called: Rediaccfile[];
  /** By now every directory is up. */
  isWhole: boolean;
}

async function runUpPasses(bench: Workbench, context: RunContext, input: UpInput, scope: Scope): Promise<Passed> {
  const told = new Set<string>();
  const { all, called: prepared } = await checkedRediaccfiles(bench, context, scope);
  if (all.length === 0) warnOfNothing(bench, context);
  if (!input.prepOnly) await forgetDeployed(bench, context, scope);
  await pass('prep', all, prepared);
  if (input.prepOnly) return { failed: [], called: prepared, isWhole: true };
  // prep may have written compose files, and even Rediaccfiles and .env files.
  const { all: files, called } = await checkedRediaccfiles(bench, context, scope);
  const digests = await snapshot(bench, context, called);
  const failed = await pass('up', files, called);
  const areAllGood = await rememberDeployed(bench, context, files, { called, failed, digests });
  return { failed, called, isWhole: areAllGood || !scope.isSelective };

  /** Services of all directories get their slots, whichever are called. */
  async function pass(
    name: FunctionName,
    files: readonly Rediaccfile[],
    chosen: readonly Rediaccfile[],
  ): Promise<Failure[]> {
    const scan = await updateServicesFile(context.system, bench.target, files);
    reportWarnings(context, scan.findings, told);
    const calls = await prepareCalls(context.system, bench.target, chosen, scan.file);
    refuseFaults(bench.record.name, calls.faults);
    return runPass(passRequest(bench, context, { name, calls, timeoutMs: input.timeoutMs }));
  }
}

async function checkedRediaccfiles(bench: Workbench, context: RunContext, scope: Scope) {
  const { mountPoint } = bench.target.paths;
  const all = await findRediaccfiles(context.system, mountPoint);
  const called = all.filter(scope.includes);
  refuseFaults(bench.record.name, await findFaults(context.system, mountPoint, called));
  return { all, called };
}

async function planUp(
  bench: Workbench,
  context: RunContext,
  opening: Opening,
  input: UpInput,
): Promise<Finished<OutputOf<'repo.up'>>> {
  const facts = await bench.observe();
  const known = [
    ...planSteps(stepsOf(opening), facts),
    ...(await planNetworkRepair(context.system)),
    ...planSteps(startDaemonSteps(bench.target), facts),
  ];
  const names: FunctionName[] = input.prepOnly ? ['prep'] : ['prep', 'up'];
  const passes = names.map(
    (name): PlanStep => ({ id: `pass.${name}`, title: `call every ${name}()`, expect: 'unknown' }),
  );
  const files = facts.mounted ? await findRediaccfiles(context.system, bench.target.paths.mountPoint) : undefined;
  const chosen = files === undefined ? undefined : await chosenOf(bench, context, files, input);
  const called = chosen === undefined ? passes : names.flatMap((name) => chosen.map((file) => callStep(name, file)));
  context.report({ kind: 'plan', steps: [...known, ...called] });
  return { outcome: 'planned' };
}

async function chosenOf(
  bench: Workbench,
  context: RunContext,
  files: readonly Rediaccfile[],
  input: UpInput,
): Promise<Rediaccfile[]> {
  const { includes } = await chooseScope(bench, context, files, input);
  return files.filter(includes);
}
