// rdc repo limits: how much memory and processor time a repository may take.
import { RdcError } from '../../protocol/errors.ts';
import { OPERATIONS, type OutputOf, type RequestOf } from '../../protocol/operations.ts';
import { formatSize, parseSize } from '../../protocol/size.ts';
import { call, onRepository, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand, option } from '../command.ts';
import { parseValue } from '../parse.ts';
import { renderFacts } from '../render.ts';
import { limitsText } from '../render-repo.ts';
import { showEnd } from '../repo-end.ts';
import { repositoryTarget } from '../target.ts';
import { machineOfRepo, repoArgument } from './options.ts';

const fields = OPERATIONS['repo.set-limits'].input.shape;

export const repoLimits = defineCommand({
  name: 'repo limits',
  summary: 'show or set how much memory and processor time a repository may take',
  details:
    'The limits hold the daemon, all containers and all functions together, at once and at each later start. Without ' +
    'options they are shown. A container that needs more memory than there is left is ended by the kernel.',
  args: { name: repoArgument },
  options: {
    memory: option('--memory <size>', 'at most this much memory, e.g. 512M; none: no limit', (text) =>
      parseValue(fields.memoryBytes, text === 'none' ? null : parseSize(text)),
    ),
    cpus: option('--cpus <number>', 'at most this many processors, e.g. 1.5; none: no limit', (text) =>
      parseValue(fields.cpus, text === 'none' ? null : parseCpus(text)),
    ),
    machine: machineOfRepo,
  },
  changes: 'machine',
  async run(command, { name, memory, cpus, machine: machineName }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const { io } = command;
    const asked = memory === undefined && cpus === undefined;
    return await withAgent(command, machine, async (client) => {
      if (asked) {
        const found = await onRepository(client, repo, () => call(command, client, 'repo.limits', { repo: repo.ref }));
        io.printJson({ machine: machine.name, ...found });
        if (!io.json) io.print(renderLimits(found, io.paintOut));
        return undefined;
      }
      const input: RequestOf<'repo.set-limits'> = { repo: repo.ref, memoryBytes: memory, cpus };
      const end = await onRepository(client, repo, () =>
        runOperation(command, { client, machine }, 'repo.set-limits', input),
      );
      const words = `limits of repository "${repo.name}": ${end.output === undefined ? '' : limitsText(end.output)}`;
      return showEnd(command, machine, end, { done: words, already: words });
    });
  },
});

function parseCpus(text: string): number {
  if (/^\d+(\.\d{1,2})?$/.test(text)) return Number(text);
  throw new RdcError('INVALID_INPUT', `"${text}" is not a number of processors`, { hint: 'e.g. 1, 2 or 0.5' });
}

function renderLimits(found: OutputOf<'repo.limits'>, paint: Parameters<typeof renderFacts>[1]): string {
  const { memoryBytes, memoryUsedBytes, cpus } = found;
  const used = memoryUsedBytes === null ? '' : ` (${formatSize(memoryUsedBytes)} in use)`;
  return renderFacts(
    [
      ['memory', `${memoryBytes === null ? 'no limit' : formatSize(memoryBytes)}${used}`],
      ['processors', cpus === null ? 'no limit' : String(cpus)],
    ],
    paint,
  );
}
