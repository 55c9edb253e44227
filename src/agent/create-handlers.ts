// All handlers of the agent, put together. Heavy ones load what they need when they are called.
import type { Handlers, QueryContext } from './handlers.ts';
import { listAutostart, startAtBoot } from './machine-autostart.ts';
import { machineHandlers } from './machine-handlers.ts';
import { createClaim } from './new-repo.ts';
import { type ChildRuns, createAllHandlers } from './repo-all.ts';
import { disableAutostart, enableAutostart } from './repo-autostart.ts';
import { createCreateHandler } from './repo-create.ts';
import { rotateCredential, verifyCredential } from './repo-credential.ts';
import { deleteRepo } from './repo-delete.ts';
import { downRepo } from './repo-down.ts';
import { createForkHandler } from './repo-fork.ts';
import { setLimits, showLimits } from './repo-limits.ts';
import { type BusyLookup, hasKeyFile, listRepos, repoStatus, type SupervisionLookup } from './repo-queries.ts';
import { reencryptRepo } from './repo-reencrypt.ts';
import { rescueRepo } from './repo-rescue.ts';
import { resizeRepo } from './repo-resize.ts';
import { restoreHeader } from './repo-restore-header.ts';
import { upRepo } from './repo-up.ts';
import { pruneSlots, validateRepo } from './repo-validate.ts';
import { mountRepo, unmountRepo } from './repo-volume.ts';

/** run.list and the like belong to the run registry, which adds them. */
export type DomainHandlers = Omit<Handlers, 'run.list'>;

export interface HandlersDeps {
  busy: BusyLookup;
  supervision: SupervisionLookup;
  runs: ChildRuns;
}

export function createHandlers(deps: HandlersDeps): DomainHandlers {
  const claim = createClaim();
  const list = (context: QueryContext) => listRepos(context, deps);
  return {
    'machine.autostart': (_input, context) => startAtBoot({ runs: deps.runs, listRepos: list }, context),
    'repo.autostart-enable': enableAutostart,
    'repo.autostart-disable': disableAutostart,
    'repo.autostart-list': (_input, context) => listAutostart(context, list),
    ...createAllHandlers({ runs: deps.runs, listRepos: list, hasKeyFile }),
    ...machineHandlers({ listRepos: list, supervision: deps.supervision }),
    'repo.list': async (_input, context) => ({ repositories: await list(context) }),
    'repo.status': (input, context) => repoStatus(input, context, deps),
    'repo.create': createCreateHandler(claim),
    'repo.fork': createForkHandler(claim),
    'repo.reencrypt': reencryptRepo,
    'repo.mount': mountRepo,
    'repo.unmount': unmountRepo,
    'repo.validate': validateRepo,
    'repo.prune-slots': pruneSlots,
    'repo.limits': showLimits,
    'repo.set-limits': setLimits,
    'repo.up': upRepo,
    'repo.down': downRepo,
    'repo.delete': deleteRepo,
    'repo.restore-header': restoreHeader,
    'repo.resize': resizeRepo,
    'repo.rescue': rescueRepo,
    'repo.verify-credential': verifyCredential,
    'repo.rotate-credential': rotateCredential,
  };
}
