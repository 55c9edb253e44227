// repo down: the pass of down() over the Rediaccfiles, and the volume on request.
import { type Failure, runPass } from '../lifecycle/passes.ts';
import { findRediaccfiles } from '../lifecycle/rediaccfile.ts';
import { readServicesFile } from '../lifecycle/services-file.ts';
import { releaseRepoSteps } from '../lifecycle/services-plan.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { findFaults } from './check-rediaccfiles.ts';
import { runningContainers } from './containers.ts';
import { callStep, passRequest } from './function-pass.ts';
import type { Finished, RunContext } from './handlers.ts';
import { noteLastUp } from './last-up.ts';
import { prepareCalls } from './prepare-calls.ts';
import { close, identity } from './repo-volume.ts';
import { carryOut, openWorkbench, type Workbench } from './repo-workbench.ts';

export async function downRepo(
  input: InputOf<'repo.down'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.down'>>> {
  const bench = await openWorkbench(context, input.repo);
  const facts = await bench.observe();
  const running = facts.units.docker.active === 'active';
  const due = running && (facts.needsDown || (await runningContainers(context.system, bench.target)).length > 0);
  if (context.dryRun) {
    const files = due ? await findRediaccfiles(context.system, bench.target.paths.mountPoint) : [];
    context.report({ kind: 'plan', steps: files.toReversed().map((file) => callStep('down', file)) });
    if (input.unmount) await close(bench, context, input.force);
    return { outcome: 'planned' };
  }
  if (facts.needsDown && !running) {
    context.report({
      kind: 'warning',
      message: `the docker daemon of "${bench.record.name}" is not running: down() is not called`,
    });
  }
  if (due) await noteLastUp(bench, context, 'stopping');
  const failed = due ? await runDownPass(bench, context, input.timeoutMs) : [];
  if (!due)
    context.report({
      kind: 'step',
      id: 'pass.down',
      title: 'call every down()',
      state: 'already',
      detail: 'no service is running',
    });
  const released = await carryOut(bench, context, releaseRepoSteps(bench.target));
  const closed = input.unmount ? await close(bench, context, input.force) : false;
  const state = input.unmount
    ? 'closed'
    : (await bench.observe()).units.docker.active === 'active'
      ? 'daemon'
      : stateWithoutDaemon(facts.mounted);
  return {
    outcome: failed.length === 0 ? 'done' : 'partial',
    output: { ...identity(bench), state, changed: due || released || closed, failed },
  };
}

function stateWithoutDaemon(mounted: boolean): 'mounted' | 'closed' {
  return mounted ? 'mounted' : 'closed';
}

/** One pass of down(), Z to A, then the root. Also what rediacc-repo@'s ExecStop runs at shutdown. What cannot be called is told as failed, and the others are called. */
export async function runDownPass(
  bench: Workbench,
  context: RunContext,
  timeoutMs: number | undefined,
): Promise<Failure[]> {
  const files = await findRediaccfiles(context.system, bench.target.paths.mountPoint);
  // Only what has run needs its address: a compose file that is broken by now must not keep it from being stopped.
  const services = await readServicesFile(context.system, bench.target);
  const found = await findFaults(context.system, bench.target.paths.mountPoint, files);
  const calls = await prepareCalls(context.system, bench.target, files, services, found);
  return runPass(passRequest(bench, context, { name: 'down', calls, timeoutMs }));
}
