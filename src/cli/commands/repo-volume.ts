// rdc repo mount and unmount: the encrypted volume, without the daemon or the services.
import type { Secret } from '../../protocol/secret.ts';
import { onRepository, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand } from '../command.ts';
import { givenCredential, withCredential } from '../credential-source.ts';
import { showEnd } from '../repo-end.ts';
import { repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument } from './options.ts';

const mount = defineCommand({
  name: 'repo mount',
  summary: 'open the volume of a repository',
  details: 'Opens the encrypted volume and mounts it; services are not started (rdc repo up does both).',
  args: { name: repoArgument },
  options: { machine: machineOfRepo, ...credentialSource },
  changes: 'machine',
  async run(command, { name, machine: machineName, ...source }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const given = await givenCredential(command, source);
    return await withAgent(command, machine, async (client) => {
      const attempt = (credential: Secret | undefined) =>
        runOperation(command, { client, machine }, 'repo.mount', { repo: repo.ref, credential });
      const end = await withCredential(command, { client, repo, given }, attempt);
      const subject = `repository "${repo.name}"`;
      return showEnd(command, machine, end, {
        done: `${subject} is open on "${machine.name}"`,
        already: `${subject} is open`,
      });
    });
  },
});

const unmount = defineCommand({
  name: 'repo unmount',
  summary: 'close the volume of a repository',
  details: 'Stops the docker daemon, unmounts and closes, and proves that nothing is left open.',
  args: { name: repoArgument },
  options: { machine: machineOfRepo },
  changes: 'machine',
  async run(command, { name, machine: machineName }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    return await withAgent(command, machine, async (client) => {
      const end = await onRepository(client, repo, () =>
        runOperation(command, { client, machine }, 'repo.unmount', { repo: repo.ref }),
      );
      const subject = `repository "${repo.name}"`;
      return showEnd(command, machine, end, { done: `${subject} is closed`, already: `${subject} is closed` });
    });
  },
});

export const VOLUME_COMMANDS = [mount, unmount];
