// rdc repo restore-header: the backup of a repository's LUKS header is put back over one that no longer opens.
import { runOperation, withAgent } from '../agent-run.ts';
import { defineCommand } from '../command.ts';
import { credentialMissing, givenCredential, withCredential } from '../credential-source.ts';
import { showEnd } from '../repo-end.ts';
import { repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument } from './options.ts';

export const repoRestoreHeader = defineCommand({
  name: 'repo restore-header',
  summary: 'put the backup of the LUKS header back, where the header of a repository is damaged',
  details:
    'The machine keeps the newest backup of each header. Before anything is written, the backup must open the data with the ' +
    'credential. A header that the credential opens is left as it is.',
  args: { name: repoArgument },
  options: { machine: machineOfRepo, ...credentialSource },
  changes: 'machine',
  async run(command, { name, machine: machineName, ...source }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const given = await givenCredential(command, source);
    return await withAgent(command, machine, async (client) => {
      const end = await withCredential(command, { client, repo, given }, async (credential) => {
        if (credential === undefined) throw credentialMissing(repo.name);
        const input = { repo: repo.ref, credential };
        return await runOperation(command, { client, machine }, 'repo.restore-header', input);
      });
      const subject = `the header of repository "${repo.name}"`;
      return showEnd(command, machine, end, { done: `${subject} is restored`, already: `${subject} is intact` });
    });
  },
});
