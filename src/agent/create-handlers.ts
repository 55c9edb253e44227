// All handlers of the agent, put together. Heavy ones load what they need when they are called.
import type { Handlers, QueryContext } from './handlers.ts';
import { type BootDeps, listAutostart, startAtBoot } from './machine-autostart.ts';
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
import {
  type BusyLookup,
  damagedRecords,
  hasKeyFile,
  listRepos,
  repoStatus,
  type SupervisionLookup,
} from './repo-queries.ts';
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
  giveUp: BootDeps['giveUp'];
}

export function createHandlers(deps: HandlersDeps): DomainHandlers {
  const claim = createClaim();
  const list = (context: QueryContext) => listRepos(context, deps);
  const all = { runs: deps.runs, listRepos: list, damaged: damagedRecords };
  return {
    'machine.autostart': (_input, context) => startAtBoot({ ...all, giveUp: deps.giveUp }, context),
    'repo.autostart-enable': enableAutostart,
    'repo.autostart-disable': disableAutostart,
    'repo.autostart-list': (_input, context) => listAutostart(context, list),
    ...createAllHandlers({ ...all, hasKeyFile }),
    ...machineHandlers({ listRepos: list, supervision: deps.supervision }),
    'repo.list': async (_input, context) => {
      const damaged = (await damagedRecords(context)).map(({ guid, error }) => ({ guid, reason: error.message }));
      return { repositories: await list(context), ...(damaged.length === 0 ? {} : { damaged }) };
    },
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
