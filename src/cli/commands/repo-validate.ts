// rdc repo validate: what is wrong or strange in the files of a repository, before anything runs.
import type { OutputOf } from '../../protocol/operations.ts';
import { call, onRepository, runOperation, withAgent } from '../agent-run.ts';
import { type CommandEnd, defineCommand, flag } from '../command.ts';
import type { CommandContext } from '../context.ts';
import type { Paint } from '../io.ts';
import { describePlan } from '../plan-text.ts';
import { type RepositoryTarget, repositoryTarget } from '../target.ts';
import { machineOfRepo, repoArgument } from './options.ts';

type Validation = OutputOf<'repo.validate'>;
type Finding = Validation['findings'][number];

export const repoValidate = defineCommand({
  name: 'repo validate',
  summary: 'check the Rediaccfiles and compose files of an open repository, without running anything',
  details:
    'Prints one line per finding, with file and line. "ports" in a compose file means the addresses of the repository, reachable on ' +
    'the server itself; nothing is reachable from the LAN. Ends with exit code 1 where there is an error; "repo up" would refuse.',
  args: { name: repoArgument },
  options: {
    machine: machineOfRepo,
    pruneSlots: flag('--prune-slots', 'free the addresses of services that are gone from the compose files'),
  },
  changes: 'machine',
  async run(command, { name, machine: machineName, pruneSlots }) {
    const repo = await repositoryTarget(command, name, machineName);
    const pruned = pruneSlots ? await prune(command, repo) : undefined;
    const found = await withAgent(command, repo.machine, (client) =>
      onRepository(client, repo, () => call(command, client, 'repo.validate', { repo: repo.ref })),
    );
    return show(command, repo, found, pruned);
  },
});

/** The services whose slots are free now, or would be in a dry run. */
async function prune(command: CommandContext, repo: RepositoryTarget): Promise<string[]> {
  const { machine } = repo;
  const end = await withAgent(command, machine, (client) =>
    onRepository(client, repo, () =>
      runOperation(command, { client, machine }, 'repo.prune-slots', { repo: repo.ref }),
    ),
  );
  const { io } = command;
  if (end.outcome === 'planned') io.say(describePlan(end.plan, { actions: io.verbose, paint: io.paintErr }));
  const pruned = end.output?.pruned ?? [];
  if (pruned.length > 0) io.say(`freed the slots of ${pruned.join(', ')}`);
  return pruned;
}

function show(
  { io }: CommandContext,
  { name, machine }: RepositoryTarget,
  found: Validation,
  pruned: string[] | undefined,
): CommandEnd {
  const { findings, vanished } = found;
  io.printJson({ machine: machine.name, ...found, ...(pruned === undefined ? {} : { pruned }) });
  if (!io.json) for (const finding of findings) io.print(describe(finding, io.paintOut));
  const count = (severity: Finding['severity']) => findings.filter((one) => one.severity === severity).length;
  io.say(`repository "${name}": ${plural(count('error'), 'error')}, ${plural(count('warning'), 'warning')}`);
  if (vanished.length > 0) {
    io.say(`gone, but with a slot still: ${vanished.join(', ')}; rdc repo validate ${name} --prune-slots frees them`);
  }
  return count('error') > 0 ? 'FAILED' : undefined;
}

/** As compilers print it, so that editors find the place. */
function describe({ file, line, severity, message }: Finding, paint: Paint): string {
  const place = line === undefined ? file : `${file}:${line}`;
  const word = severity === 'error' ? paint.red(severity) : severity === 'warning' ? paint.yellow(severity) : severity;
  return `${place}: ${word}: ${message}`;
}

function plural(count: number, word: string): string {
  return `${count === 0 ? 'no' : count} ${word}${count === 1 ? '' : 's'}`;
}
