// rdc context setup-machine: the agent goes onto the server, the server is checked, and what is missing is set up.
import { RdcError } from '../../protocol/errors.ts';
import { type Check, OPERATIONS, type RequestOf } from '../../protocol/operations.ts';
import { parseSize } from '../../protocol/size.ts';
import type { AgentClient } from '../agent-client.ts';
import { call, runOperation, withAgent } from '../agent-run.ts';
import { renderChecks } from '../check-text.ts';
import { defineCommand, option } from '../command.ts';
import { mirrorSchema } from '../config-file.ts';
import type { CommandContext } from '../context.ts';
import { parseValue, parseWith } from '../parse.ts';
import type { ConnectMode } from '../reach.ts';
import { sayDone } from '../render.ts';
import { showUnfinished } from '../repo-end.ts';
import { type MachineTarget, machineIn, machineTarget, placeIn } from '../target.ts';
import { machineArgument, mirrors } from './options.ts';

export const setupMachine = defineCommand({
  name: 'context setup-machine',
  summary: 'prepare a server for repositories',
  details:
    'Brings the agent, and Node where there is none; checks the machine; installs what is missing with its package ' +
    "manager; never touches a docker of the server's own. Repeating it is safe. Its user needs root, or sudo for the " +
    'first contact; setup leaves one narrow line in sudoers.',
  args: { machine: machineArgument },
  options: {
    datastoreSize: option(
      '--datastore-size <size>',
      'make the datastore a pool of its own of this size, where forks are instant, e.g. 200G',
      parseSize,
    ),
    datastoreFilesystem: option(
      '--datastore-filesystem <name>',
      'of that pool: btrfs or xfs; without it btrfs where the kernel has it',
      parseWith(OPERATIONS['machine.setup'].input.shape.datastoreFilesystem.unwrap()),
    ),
    registryMirror: mirrors,
  },
  changes: 'machine',
  async run(command, { machine: name, datastoreSize, datastoreFilesystem, registryMirror }) {
    const given = registryMirror.map((url) => parseValue(mirrorSchema, url));
    const machine = await machineTarget(command, name);
    const registryMirrors = given.length > 0 ? given : machine.machine.registryMirrors;
    const input: RequestOf<'machine.setup'> = {
      datastore: machine.machine.datastore,
      ...(datastoreSize === undefined ? {} : { datastoreSizeBytes: datastoreSize }),
      ...(datastoreFilesystem === undefined ? {} : { datastoreFilesystem }),
      ...(registryMirrors === undefined ? {} : { registryMirrors }),
      ...(machine.machine.user === 'root' ? {} : { sudoUser: machine.machine.user }),
    };
    parseValue(OPERATIONS['machine.setup'].input, input);
    await withSetupAgent(command, machine, (client) => setUp(command, { client, machine }, input));
    if (given.length > 0) await rememberMirrors(command, machine, given);
    return undefined;
  },
});

/** A dry run leaves no agent behind; where the user may not run a shell as root, the agent that is there must do. */
async function withSetupAgent(
  command: CommandContext,
  machine: MachineTarget,
  work: (client: AgentClient) => Promise<void>,
): Promise<void> {
  const attempt = (mode: ConnectMode) => withAgent(command, machine, work, mode);
  if (!command.dryRun) return await attempt('install');
  try {
    await attempt('temporary');
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'SUDO') throw error;
    await attempt('use').catch((inner: unknown) => {
      throw inner instanceof RdcError && inner.code === 'NOT_SET_UP' ? error : inner;
    });
  }
}

async function setUp(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  input: RequestOf<'machine.setup'>,
): Promise<void> {
  const { io, dryRun } = command;
  const { machine, client } = connection;
  const { checks, fit } = await call(command, client, 'machine.preflight', { datastore: input.datastore });
  io.say(renderChecks(checks, io.paintErr));
  if (!fit) throw notSuitable(machine, checks);
  const end = await runOperation(command, connection, 'machine.setup', input);
  if (showUnfinished(command, machine, end, { checks })) return;
  await giveNotifyCommand(command, connection);
  const { output } = end;
  if (output?.changed === false) io.say(`= already: machine "${machine.name}" is set up`);
  else
    sayDone(io, dryRun, `machine "${machine.name}" is ready; next: rdc repo create NAME -m ${machine.name} --size 10G`);
  io.printJson({ machine: machine.name, run: end.run, ...output, warnings: end.warnings });
}

/** The context's, to a machine that has none. */
async function giveNotifyCommand(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
): Promise<void> {
  const { notifyCommand } = placeIn(await command.config.read(), connection.machine.context).context;
  if (notifyCommand === undefined) return;
  const { supervision } = await call(command, connection.client, 'machine.status', {});
  if (supervision.notifyCommand !== null) return;
  await runOperation(command, connection, 'machine.set-supervision', { notifyCommand });
}

function notSuitable({ name }: MachineTarget, checks: readonly Check[]): RdcError {
  const failed = checks.filter(({ status }) => status === 'failed');
  const what = failed.map(({ title, found }) => `${title} (${found})`).join(', ');
  return new RdcError('HOST_NOT_SUITABLE', `machine "${name}" cannot hold repositories: ${what}`, {
    hint: failed.find(({ fix }) => fix !== undefined)?.fix,
  });
}

async function rememberMirrors(
  command: CommandContext,
  { context, name }: MachineTarget,
  urls: string[],
): Promise<void> {
  await command.config.update((draft) => {
    machineIn(placeIn(draft, context), name).machine.registryMirrors = urls;
  });
}
