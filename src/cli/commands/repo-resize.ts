// rdc repo resize: another size for a repository.
import { OPERATIONS } from '../../protocol/operations.ts';
import type { Secret } from '../../protocol/secret.ts';
import { formatSize, parseSize } from '../../protocol/size.ts';
import { runOperation, withAgent } from '../agent-run.ts';
import { defineCommand, requiredOption } from '../command.ts';
import { givenCredential, withCredential } from '../credential-source.ts';
import { parseValue } from '../parse.ts';
import { showEnd } from '../repo-end.ts';
import { repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument } from './options.ts';

export const repoResize = defineCommand({
  name: 'repo resize',
  summary: 'make a repository larger or smaller',
  details:
    'A repository grows while its services run; a closed one is opened for it and closed again. It becomes smaller only ' +
    'while it is closed, and never smaller than its files need. Repeating a resize that was cut off finishes it.',
  args: { name: repoArgument },
  options: {
    size: requiredOption('--size <size>', 'of its image from now on, e.g. 20G', (text) =>
      parseValue(OPERATIONS['repo.resize'].input.shape.sizeBytes, parseSize(text)),
    ),
    machine: machineOfRepo,
    ...credentialSource,
  },
  changes: 'machine',
  async run(command, { name, size, machine: machineName, ...source }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const given = await givenCredential(command, source);
    return await withAgent(command, machine, async (client) => {
      const input = { repo: repo.ref, sizeBytes: size };
      const attempt = (credential: Secret | undefined) =>
        runOperation(command, { client, machine }, 'repo.resize', { ...input, credential });
      const end = await withCredential(command, { client, repo, given }, attempt);
      const subject = `repository "${repo.name}"`;
      // One that goes on with what was cut off does not know what there was before that.
      const { beforeBytes = size } = end.output ?? {};
      const before = beforeBytes === size ? '' : `, before: ${formatSize(beforeBytes)}`;
      return showEnd(command, machine, end, {
        done: `${subject} has ${formatSize(size)} now${before}`,
        already: `${subject} has ${formatSize(size)}`,
      });
    });
  },
});
