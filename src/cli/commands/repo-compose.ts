// rdc repo compose: docker compose inside a repository, with its exit code.
import { RdcError } from '../../protocol/errors.ts';
import { defineCommand, option, restArguments } from '../command.ts';
import { showFailure } from '../failure.ts';
import { repositoryTarget } from '../target.ts';
import { machineOfRepo, repoArgument } from './options.ts';

/** Our own failures, where another program's exit code is passed on. */
const OWN_FAILURE = 125;

export const repoCompose = defineCommand({
  name: 'repo compose',
  summary: 'run docker compose in a repository',
  details:
    'As "renet compose" in a Rediaccfile: on the repository\'s own daemon, with its addresses, labels and project names. ' +
    "The exit code is compose's own; 125 is a failure of rdc itself. At a terminal compose has one too, so " +
    '"exec web sh" works as on the server itself; elsewhere Ctrl-C ends compose, and "exec" and "run" need -T.',
  args: { name: repoArgument, words: restArguments('ARGS', 'what follows "docker compose", behind "--"') },
  options: {
    machine: machineOfRepo,
    dir: option('--dir <directory>', 'a directory of the repository; without it the root'),
  },
  changes: 'nothing',
  async run(command, { name, words, machine, dir = '' }) {
    try {
      const repo = await repositoryTarget(command, name, machine);
      return { exitCode: await command.compose(repo.machine, { repo: repo.ref, words, directory: dir }) };
    } catch (error) {
      if (!(error instanceof RdcError) || error.code === 'INTERRUPTED') throw error;
      showFailure(error, command.io, command.contextName);
      return { exitCode: OWN_FAILURE };
    }
  },
});
