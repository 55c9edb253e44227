// repo delete: services down, volume closed with proof, then image, keys and record. The network id is reused last. The record
// goes when nothing else is left, so that a delete that was cut off goes on; what was deleted is remembered beyond it.
import { dirname } from 'node:path';
import { command } from '../lifecycle/command.ts';
import type { RepoFacts } from '../lifecycle/facts.ts';
import { headerBackupDraft } from '../lifecycle/header-backup.ts';
import { removeHalfMade } from '../lifecycle/luks.ts';
import { releaseRepoSteps } from '../lifecycle/services-plan.ts';
import type { Step } from '../lifecycle/step.ts';
import { remove, run } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Finished, RunContext } from './handlers.ts';
import { keyFileDraft } from './layout.ts';
import { codeOf } from './linux-files.ts';
import { requireMachine } from './machine-record.ts';
import { downRepo } from './repo-down.ts';
import { createRepoStore } from './repo-store.ts';
import { close, identity } from './repo-volume.ts';
import { carryOut, openWorkbench } from './repo-workbench.ts';

export async function deleteRepo(
  input: InputOf<'repo.delete'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.delete'>>> {
  const { system, dryRun } = context;
  const { datastore } = await requireMachine(system);
  const gone = await createRepoStore(system, datastore).deleted(input.repo);
  if (gone !== undefined)
    return dryRun ? { outcome: 'planned' } : { outcome: 'done', output: { ...gone, changed: false } };
  const bench = await openWorkbench(context, input.repo);
  const facts = await bench.observe();
  if (facts.units.docker.active === 'active')
    await downRepo({ repo: input.repo, unmount: false, force: false }, context);
  // Nothing that down() could end is left, and it must not be called for a repository that is gone.
  else await carryOut(bench, context, releaseRepoSteps(bench.target));
  await close(bench, context);
  await carryOut(bench, context, [removeStep(bench.target)]);
  if (dryRun) return { outcome: 'planned' };
  await removeRest(bench.target, context);
  const { image, keyFile, headerBackup, record } = bench.target.paths;
  await settle(system, [image, keyFile, headerBackup]);
  await bench.store.retire(bench.record);
  await bench.store.remove(bench.record.guid);
  await settle(system, [record]);
  return { outcome: 'done', output: { ...identity(bench), changed: true } };
}

/** What was removed stays removed when the power goes: fsync(2) of its directories. */
async function settle(system: System, removed: string[]): Promise<void> {
  const directories = new Set(removed.map((path) => dirname(path)));
  for (const path of directories) {
    if ((await system.stat(path)) !== undefined) await system.run(command('sync', path));
  }
}

/** What no step looks at; whatever was cut off, these come before the record goes. */
async function removeRest({ paths }: RepoTarget, { system, report }: RunContext): Promise<void> {
  await system.run({ ...removeHalfMade(paths.mapping), allow: [1] });
  for (const path of [keyFileDraft(paths), headerBackupDraft(paths)]) await system.remove(path);
  try {
    await system.remove(paths.mountPoint);
  } catch (error) {
    if (codeOf(error) !== 'ENOTEMPTY') throw error;
    // Written while nothing was mounted there: not of the repository, and perhaps wanted.
    const message = `there are files in ${paths.mountPoint}, which never were in the volume; they are left`;
    report({ kind: 'warning', message });
  }
}

/** Keys first: once they are gone the image cannot be opened by the machine itself, whatever comes after. */
function removeStep({ paths }: RepoTarget): Step<RepoFacts> {
  return {
    id: 'image.remove',
    title: 'remove keys, image and header backup',
    already: 'nothing of it is left',
    isDone: (facts) => facts.image === undefined && !facts.keyMaterial,
    actions: () => [
      remove(paths.keyFile),
      remove(paths.headerBackup),
      run(command('rm', '--force', '--', paths.image)),
    ],
  };
}
