// rdc repo rescue: room in a full volume, and what to do with it.
import type { OutputOf } from '../../protocol/operations.ts';
import type { Secret } from '../../protocol/secret.ts';
import { exactSize, formatSize } from '../../protocol/size.ts';
import { call, runOperation, withAgent } from '../agent-run.ts';
import { type CommandEnd, defineCommand } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { givenCredential, withCredential } from '../credential-source.ts';
import { renderTable } from '../render.ts';
import { showEnd } from '../repo-end.ts';
import { repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument } from './options.ts';

type Rescued = OutputOf<'repo.rescue'>;

export const repoRescue = defineCommand({
  name: 'repo rescue',
  summary: 'get room in a repository whose volume is full',
  details:
    'Gives up the reserve that is kept inside each repository, so that its docker daemon starts again and things can be ' +
    'deleted, and tells what takes the most. A closed repository is mounted. While there is room, nothing is given up.',
  args: { name: repoArgument },
  options: { machine: machineOfRepo, ...credentialSource },
  changes: 'machine',
  async run(command, { name, machine: machineName, ...source }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const given = await givenCredential(command, source);
    return await withAgent(command, machine, async (client) => {
      // Before the run, over whose length the link may be lost and another one made.
      const { sizeBytes } = await call(command, client, 'repo.status', { repo: repo.ref });
      const attempt = (credential: Secret | undefined) =>
        runOperation(command, { client, machine }, 'repo.rescue', { repo: repo.ref, credential });
      const end = await withCredential(command, { client, repo, given }, attempt);
      const shown = showEnd(command, machine, end, wordsOf(repo.name, end.output));
      if (end.output === undefined || shown !== undefined) return shown;
      return await showRescued(command, end.output, sizeBytes);
    });
  },
});

function wordsOf(name: string, output: Rescued | undefined) {
  const { freedBytes = 0, space } = output ?? {};
  const free = space === undefined ? '' : `, ${formatSize(space.freeBytes)} are free`;
  return {
    done:
      freedBytes > 0
        ? `repository "${name}" has ${formatSize(freedBytes)} more${free}`
        : `repository "${name}" is open${free}`,
    already: `repository "${name}" has nothing to give up${free}`,
  };
}

async function showRescued({ io }: CommandContext, output: Rescued, sizeBytes: number): Promise<CommandEnd> {
  const { name, lacking, largest, isWhole, mountPoint } = output;
  if (!io.json && largest.length > 0) {
    const amount = (value: number) => (lacking === 'inodes' ? String(value) : formatSize(value));
    const rows = largest.map(({ what, amount: value }) => [amount(value), what]);
    io.print(await renderTable([lacking === 'inodes' ? 'FILES' : 'SIZE', 'WHAT TAKES THE MOST'], rows, io.paintOut));
    if (!isWhole) io.say('there is more: the count was ended after a while');
  }
  const larger = `rdc repo resize ${name} --size ${exactSize(larger64(sizeBytes))}`;
  const next = `delete below ${mountPoint} on the server what is not needed, or: ${larger}`;
  if (lacking === undefined) {
    io.say(`next: ${next}; then: rdc repo up ${name}`);
    return undefined;
  }
  io.warn(`the volume of repository "${name}" is still too full for its services`, next);
  return 'NO_SPACE';
}

/** By half, in whole 64 MiB. */
function larger64(bytes: number): number {
  const step = 64 * 1024 ** 2;
  return Math.ceil((bytes * 1.5) / step) * step;
}
