// rdc repo status and list: what is, asked of the machines themselves.
import { RdcError, toWireError } from '../../protocol/errors.ts';
import type { Guid } from '../../protocol/ids.ts';
import { type MachineName, machineNameSchema } from '../../protocol/ids.ts';
import { call, onRepository, withAgent } from '../agent-run.ts';
import { defineCommand, option, optionalArgument } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { parseWith } from '../parse.ts';
import { type ListedRepo, renderRepos, renderStatus } from '../render-repo.ts';
import { currentPlace, type MachineTarget, machineIn, type Place, repositoryTarget } from '../target.ts';
import { machineOfRepo, repoArgument } from './options.ts';

const status = defineCommand({
  name: 'repo status',
  summary: 'show one repository in full',
  args: { name: repoArgument },
  options: { machine: machineOfRepo },
  changes: 'nothing',
  async run(command, { name, machine: machineName }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const { io, now } = command;
    const found = await withAgent(command, machine, (client) =>
      onRepository(client, repo, () => call(command, client, 'repo.status', { repo: repo.ref })),
    );
    io.printJson({ machine: machine.name, ...found });
    if (!io.json) io.print(await renderStatus(found, machine.name, now(), io.paintOut));
    return undefined;
  },
});

const ip = defineCommand({
  name: 'repo ip',
  summary: "print the addresses of a repository's services, as they answer on its server",
  args: {
    name: repoArgument,
    service: optionalArgument('SERVICE', 'this service only: its address and nothing else', (text) => text),
  },
  options: { machine: machineOfRepo },
  changes: 'nothing',
  async run(command, { name, service, machine: machineName }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { services, volume } = await withAgent(command, repo.machine, (client) =>
      onRepository(client, repo, () => call(command, client, 'repo.status', { repo: repo.ref })),
    );
    if (!volume.mounted) throw closed(repo.name, repo.machine.name);
    const wanted = services.filter((one) => service === undefined || one.name === service);
    if (service !== undefined && wanted.length === 0) throw noService(repo.name, service, services);
    const { io } = command;
    io.printJson({ services: wanted.map((one) => ({ name: one.name, ip: one.ip })) });
    if (wanted.length === 0) io.say(`no service of "${repo.name}" has an address yet: rdc repo up ${repo.name}`);
    for (const one of wanted) io.print(service === undefined ? `${one.name} ${one.ip}` : one.ip);
    return undefined;
  },
});

/** Which service has which address is written inside the volume. */
function closed(repo: string, machine: string): RdcError {
  return new RdcError('FAILED', `repository "${repo}" is closed`, { hint: `rdc repo mount ${repo} -m ${machine}` });
}

function noService(repo: string, service: string, services: readonly { name: string }[]): RdcError {
  const names = services.map(({ name }) => name).join(', ');
  return new RdcError('NOT_FOUND', `repository "${repo}" has no service "${service}"`, {
    hint: names === '' ? `services get their addresses when they start: rdc repo up ${repo}` : `it has: ${names}`,
  });
}

const list = defineCommand({
  name: 'repo list',
  summary: 'list the repositories of a machine, or of all machines of the context',
  args: {},
  options: { machine: option('-m, --machine <name>', 'this machine only', parseWith(machineNameSchema)) },
  changes: 'nothing',
  async run(command, { machine: machineName }) {
    const { io, now } = command;
    const targets = machinesToAsk(await currentPlace(command), machineName);
    const known = await command.credentials.known();
    const answers = await Promise.all(targets.map((target) => listOne(command, target, known)));
    const repositories = answers.flatMap((answer) => answer.repositories);
    const failed = answers.filter((answer) => answer.error !== undefined);
    const [first] = failed;
    if (targets.length === 1 && first !== undefined) throw first.error;
    const errors = failed.map(({ machine, error }) => ({ machine, error: toWireError(error) }));
    for (const { machine, error } of errors) io.warn(`machine "${machine}": ${error.message}`, error.hint);
    const damaged = answers.flatMap((answer) => answer.damaged.map((one) => ({ machine: answer.machine, ...one })));
    for (const { machine, guid, reason } of damaged) io.warn(`repository ${guid} of "${machine}": ${reason}`);
    io.printJson({
      repositories,
      ...(damaged.length === 0 ? {} : { damaged }),
      ...(errors.length === 0 ? {} : { errors }),
    });
    if (repositories.length + damaged.length === 0)
      io.say('there is no repository yet: rdc repo create NAME --size 10G');
    else if (!io.json && repositories.length > 0) io.print(await renderRepos(repositories, now(), io.paintOut));
    return failed.length + damaged.length === 0 ? undefined : 'PARTIAL';
  },
});

function machinesToAsk(place: Place, asked: MachineName | undefined): MachineTarget[] {
  const names = Object.keys(place.context.machines);
  if (asked !== undefined || names.length === 0) return [machineIn(place, asked)];
  return names.map((name) => machineIn(place, name));
}

interface Listed {
  machine: string;
  repositories: ListedRepo[];
  damaged: { guid: Guid; reason: string }[];
  error?: RdcError;
}

async function listOne(command: CommandContext, target: MachineTarget, known: ReadonlySet<Guid>): Promise<Listed> {
  const machine = target.name;
  try {
    const { repositories, damaged = [] } = await withAgent(command, target, (client) =>
      call(command, client, 'repo.list', {}),
    );
    return {
      machine,
      damaged,
      repositories: repositories.map((repo) => ({ machine, ...repo, credentialKnown: known.has(repo.guid) })),
    };
  } catch (error) {
    if (!(error instanceof RdcError) || error.code === 'INTERRUPTED') throw error;
    return { machine, repositories: [], damaged: [], error };
  }
}

export const LOOK_COMMANDS = [status, list, ip];
