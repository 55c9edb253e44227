// repo delete: services down, volume closed with proof, then image, keys and record. The network id is reused last.
import { command } from '../lifecycle/command.ts';
import type { RepoFacts } from '../lifecycle/facts.ts';
import type { Step } from '../lifecycle/step.ts';
import { remove, run } from '../lifecycle/step.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Finished, RunContext } from './handlers.ts';
import { downRepo } from './repo-services.ts';
import { close, identity } from './repo-volume.ts';
import { carryOut, openWorkbench } from './repo-workbench.ts';

export async function deleteRepo(
  input: InputOf<'repo.delete'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.delete'>>> {
  const bench = await openWorkbench(context, input.repo);
  const facts = await bench.observe();
  if (facts.units.docker.active === 'active') await downRepo({ repo: input.repo, unmount: false }, context);
  await close(bench, context);
  await carryOut(bench, context, [removeStep(bench.target)]);
  if (context.dryRun) return { outcome: 'planned' };
  await bench.store.retire(bench.record.networkId);
  await bench.store.remove(bench.record.guid);
  return { outcome: 'done', output: { ...identity(bench), changed: true } };
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
      remove(paths.mountPoint),
    ],
  };
}
