// rdc repo mount and unmount: the encrypted volume, without the daemon or the services.
import type { Secret } from '../../protocol/secret.ts';
import { onRepository, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { givenCredential, withCredential } from '../credential-source.ts';
import { confirmForce, force } from '../force-unmount.ts';
import { showEnd } from '../repo-end.ts';
import { repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument, yes } from './options.ts';

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
  details:
    'Stops the docker daemon, unmounts and closes, and proves that nothing is left open. Where processes, containers or ' +
    'mounts hold the volume, they are named and nothing is unmounted; with --force they are ended first. Never lazily.',
  args: { name: repoArgument },
  options: { machine: machineOfRepo, force, yes },
  changes: 'machine',
  async run(command, { name, machine: machineName, force: forced, yes: sure }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    return await withAgent(command, machine, async (client) => {
      const unmounted = (context: CommandContext) =>
        onRepository(client, repo, () =>
          runOperation(context, { client, machine }, 'repo.unmount', { repo: repo.ref, force: forced }),
        );
      if (forced && !sure && !command.dryRun) {
        const { plan } = await unmounted({ ...command, dryRun: true, detach: false });
        await confirmForce(command, repo, `repo unmount ${name}`, plan);
      }
      const end = await unmounted(command);
      const subject = `repository "${repo.name}"`;
      return showEnd(command, machine, end, { done: `${subject} is closed`, already: `${subject} is closed` });
    });
  },
});

export const VOLUME_COMMANDS = [mount, unmount];
