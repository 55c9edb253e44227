// rdc repo up and down: the services of a repository, by its Rediaccfiles.
import { RdcError } from '../../protocol/errors.ts';
import { OPERATIONS, type Service } from '../../protocol/operations.ts';
import type { Secret } from '../../protocol/secret.ts';
import { onRepository, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand, flag, option } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { givenCredential, withCredential } from '../credential-source.ts';
import { confirmForce, force } from '../force-unmount.ts';
import type { Io } from '../io.ts';
import { parseValue } from '../parse.ts';
import { renderServices } from '../render-repo.ts';
import { showEnd } from '../repo-end.ts';
import { repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument, timeoutOption, yes } from './options.ts';

const up = defineCommand({
  name: 'repo up',
  summary: 'start the services of a repository',
  details:
    'Opens the volume if it is closed, starts its docker daemon, gives every service its address, then runs all prep() ' +
    'and all up() functions. A failing up() of a directory does not stop the others: the run then ends with exit code 3.',
  args: { name: repoArgument },
  options: {
    machine: machineOfRepo,
    mount: flag('--mount', 'open the volume if it is closed; also done without this flag'),
    noMount: flag('--no-mount', 'refuse a closed repository'),
    prepOnly: flag('--prep-only', 'run the prep() functions only'),
    only: option(
      '--only <dirs>',
      'call only the functions of these directories, e.g. backend,frontend; "." is the root',
      (text) =>
        parseValue(
          OPERATIONS['repo.up'].input.shape.only,
          text.split(',').filter((name) => name !== ''),
        ),
    ),
    changed: flag('--changed', 'call only those of directories whose files have changed since their last good up()'),
    timeout: timeoutOption,
    ...credentialSource,
  },
  changes: 'machine',
  async run(command, { name, machine: machineName, noMount, prepOnly, timeout, only, changed, ...source }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const given = await givenCredential(command, source);
    return await withAgent(command, machine, async (client) => {
      const input = { repo: repo.ref, mount: !noMount, prepOnly, only, changed, timeoutMs: timeout };
      const attempt = (credential: Secret | undefined) =>
        runOperation(command, { client, machine }, 'repo.up', { ...input, credential });
      const end = await withCredential(command, { client, repo, given }, attempt);
      const called = end.output?.directories ?? [];
      const what = called.length === 0 ? 'has nothing to start and is open' : prepOnly ? 'is prepared' : 'is up';
      const which = only === undefined && !changed ? '' : ` (called: ${called.join(', ')})`;
      const result = showEnd(command, machine, end, {
        done: `repository "${repo.name}" ${what} on "${machine.name}"${which}`,
        already: `nothing of repository "${repo.name}" has changed since it was brought up`,
      });
      await showServices(command.io, end.output?.services ?? []);
      return result;
    });
  },
});

async function showServices(io: Io, services: readonly Service[]): Promise<void> {
  if (services.length === 0 || io.json) return;
  io.print(await renderServices(services, io.paintOut));
  io.say(io.paintErr.dim('These addresses answer on the server itself; nothing is reachable from outside it yet.'));
}

const down = defineCommand({
  name: 'repo down',
  summary: 'stop the services of a repository',
  details:
    'Runs all down() functions, in reverse order. A repository without any keeps its containers until its daemon stops, ' +
    'which --unmount does.',
  args: { name: repoArgument },
  options: {
    machine: machineOfRepo,
    unmount: flag('--unmount', 'also stop the docker daemon and close the volume'),
    force,
    yes,
    timeout: timeoutOption,
  },
  changes: 'machine',
  async run(command, { name, machine: machineName, unmount, force: forced, yes: sure, timeout }) {
    if (forced && !unmount) {
      throw new RdcError('USAGE', '--force is about closing the volume: it goes with --unmount', {
        hint: `rdc repo down ${name} --unmount --force`,
      });
    }
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    return await withAgent(command, machine, async (client) => {
      const input = { repo: repo.ref, unmount, force: forced, timeoutMs: timeout };
      const taken = (context: CommandContext) =>
        onRepository(client, repo, () => runOperation(context, { client, machine }, 'repo.down', input));
      if (forced && !sure && !command.dryRun) {
        const { plan } = await taken({ ...command, dryRun: true, detach: false });
        await confirmForce(command, repo, `repo down ${name} --unmount`, plan);
      }
      const end = await taken(command);
      const what = unmount ? 'is down and closed' : 'is down';
      return showEnd(command, machine, end, {
        done: `repository "${repo.name}" ${what} on "${machine.name}"`,
        already: `repository "${repo.name}" ${what}`,
      });
    });
  },
});

export const SERVICES_COMMANDS = [up, down];
