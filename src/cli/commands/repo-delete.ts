// rdc repo delete: image, data and keys go for good, so a person types the name; scripts say --yes.
import { RdcError } from '../../protocol/errors.ts';
import type { Guid } from '../../protocol/ids.ts';
import { onRepository, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { showEnd } from '../repo-end.ts';
import { placeIn, type RepositoryTarget, repositoryTarget } from '../target.ts';
import { machineOfRepo, repoArgument, yes } from './options.ts';

export const repoDelete = defineCommand({
  name: 'repo delete',
  summary: 'delete a repository with all its data',
  details: 'Stops its services, closes and removes the image. Its credential is removed from this workstation too.',
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

/** The machine has confirmed that image and data are gone: the key opens nothing any more. */
async function forget(command: CommandContext, { machine }: RepositoryTarget, guid: Guid): Promise<void> {
  await command.config.update((draft) => {
    delete placeIn(draft, machine.context).context.repositories[guid];
  });
  await command.credentials.remove(guid);
}
