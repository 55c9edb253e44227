// rdc repo delete: image, data and keys go for good, so a person types the name; scripts say --yes.
import { RdcError } from '../../protocol/errors.ts';
import type { Guid } from '../../protocol/ids.ts';
import { onRepository, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand } from '../command.ts';
import { entry } from '../config-file.ts';
import type { CommandContext } from '../context.ts';
import { placesOf } from '../known-guid.ts';
import { showEnd } from '../repo-end.ts';
import { placeIn, type RepositoryTarget, repositoryTarget } from '../target.ts';
import { machineOfRepo, repoArgument, yes } from './options.ts';

export const repoDelete = defineCommand({
  name: 'repo delete',
  summary: 'delete a repository with all its data',
  details:
    'Stops its services, closes and removes the image. Its credential is removed from this workstation too, but not with --detach.',
  args: { name: repoArgument },
  options: { machine: machineOfRepo, yes },
  changes: 'machine',
  async run(command, { name, machine: machineName, yes: sure }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    if (!sure && !command.dryRun) await confirmByName(command, repo);
    const end = await withAgent(command, machine, (client) =>
      onRepository(client, repo, () => runOperation(command, { client, machine }, 'repo.delete', { repo: repo.ref })),
    );
    const subject = `repository "${repo.name}"`;
    if (end.output !== undefined) await forget(command, repo, end.output.guid);
    return showEnd(command, machine, end, {
      done: `${subject} deleted from "${machine.name}"`,
      already: `${subject} is deleted`,
    });
  },
});

async function confirmByName({ io, ask }: CommandContext, { name, machine }: RepositoryTarget): Promise<void> {
  if (!io.canAsk) {
    throw new RdcError('CONFIRMATION_NEEDED', `deleting repository "${name}" destroys its data`, {
      hint: `rdc repo delete ${name} -m ${machine.name} --yes`,
    });
  }
  io.say(`This destroys all data of repository "${name}" on machine "${machine.name}".`);
  if ((await ask.text('Type its name to delete it:')).trim() !== name) {
    throw new RdcError('CANCELLED', 'that is not its name: nothing was changed');
  }
}

/** Only what was asked for, and only where no other machine has it: a copy there would be lost with its key. */
async function forget(command: CommandContext, { machine, guid, name }: RepositoryTarget, gone: Guid): Promise<void> {
  const { elsewhere } = await placesOf(command, machine, gone);
  await command.config.update((draft) => {
    const { repositories } = placeIn(draft, machine.context).context;
    if (entry(repositories, gone)?.machine === machine.name) delete repositories[gone];
  });
  if ((await command.credentials.get(gone)) === undefined) return;
  if (guid === gone && elsewhere.length === 0) return await command.credentials.remove(gone);
  const why = elsewhere.length === 0 ? '' : `: machine "${elsewhere[0]}" has a repository of the same GUID`;
  command.io.warn(`the credential of "${name}" is kept${why}`);
}
