// rdc ops …: the playground machine, registered as machine "playground" in a context of its own.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { formatDuration } from '../../protocol/duration.ts';
import { RdcError } from '../../protocol/errors.ts';
import type { ContextName, Guid, MachineName } from '../../protocol/ids.ts';
import { parseSize } from '../../protocol/size.ts';
import { defineCommand, flag, option, restArguments } from '../command.ts';
import type { CommandContext } from '../context.ts';
import type { VmInstance } from '../playground/instance.ts';
import type { StepReport } from '../playground/report.ts';

const NAME = 'playground';
const MIB = 1024 ** 2;

const opsUpCommand = defineCommand({
  name: 'ops up',
  summary: 'start the playground machine, building it first where needed',
  args: {},
  options: {
    cpus: option(
      '--cpus <number>',
      'processors of the machine (2; emulated by a QEMU before 9: 1), from this start on until the next',
      parseCpus,
    ),
    memory: option('--memory <size>', 'its memory (3G), likewise', parseMemory),
  },
  changes: 'nothing',
  async run(command, { cpus, memory }) {
    const { opsUp } = await import('../playground/ops.ts');
    const { state, vm } = await opsUp({
      ...{ ...places(command), report: reporter(command), signal: command.signal },
      ...(cpus === undefined ? {} : { cpus }),
      ...(memory === undefined ? {} : { memoryMiB: memory / MIB }),
    });
    if (state === 'already' && (cpus !== undefined || memory !== undefined)) {
      command.io.warn(`machine "${NAME}" runs already, as it was started`, 'rdc ops down, then rdc ops up again');
    }
    await register(command, vm);
    command.io.say(
      `${state === 'already' ? '= already: ' : ''}machine "${NAME}" is running, in the context "${NAME}"; its registry mirror is ${vm.registryMirror}\n` +
        `next: rdc context setup-machine ${NAME} --context ${NAME}`,
    );
    command.io.printJson({ state, context: NAME, machine: NAME, port: vm.sshPort, registryMirror: vm.registryMirror });
    return undefined;
  },
});

function parseCpus(text: string): number {
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new RdcError('INVALID_INPUT', `"${text}" is not a number of processors`, { hint: 'e.g. 4' });
}

/** Bytes, in whole MiB, as QEMU takes them. */
function parseMemory(text: string): number {
  const bytes = Math.ceil(parseSize(text) / MIB) * MIB;
  if (bytes >= 1024 * MIB) return bytes;
  throw new RdcError('INVALID_INPUT', `a playground machine needs at least 1G of memory, not ${text}`);
}

const opsStatusCommand = defineCommand({
  name: 'ops status',
  summary: 'whether the playground machine runs',
  args: {},
  options: {},
  changes: 'nothing',
  async run(command) {
    const { opsStatus } = await import('../playground/ops.ts');
    const { state } = await opsStatus(places(command));
    command.io.print(`machine "${NAME}" is ${state}`);
    command.io.printJson({ state });
    return undefined;
  },
});

const opsDownCommand = defineCommand({
  name: 'ops down',
  summary: 'power the playground machine off',
  args: {},
  options: { delete: flag('--delete', 'remove the machine and its disks as well') },
  changes: 'nothing',
  async run(command, input) {
    const { opsDown } = await import('../playground/ops.ts');
    const ended = await opsDown({
      ...places(command),
      report: reporter(command),
      signal: command.signal,
      delete: input.delete,
    });
    if (ended.deleted) await unregister(command);
    command.io.say(`machine "${NAME}" is off${ended.deleted ? ' and removed' : ''}`);
    command.io.printJson(ended);
    return undefined;
  },
});

const opsSshCommand = defineCommand({
  name: 'ops ssh',
  summary: 'log in to the playground machine, or run a command on it',
  args: { words: restArguments('COMMAND', 'what to run; a shell when left out') },
  options: {},
  changes: 'nothing',
  async run(command, { words }) {
    const { opsSshArgs } = await import('../playground/ops.ts');
    const args = [...(await opsSshArgs(places(command))), ...words];
    const child = spawn('ssh', args, { stdio: 'inherit' });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve({ exitCode: code ?? 1 }));
    });
  },
});

export const OPS_COMMANDS = [opsUpCommand, opsStatusCommand, opsDownCommand, opsSshCommand];

function places({ env }: CommandContext): { stateDir: string; cacheDir: string } {
  const home = env.HOME ?? '/root';
  return {
    stateDir: join(env.XDG_STATE_HOME ?? join(home, '.local/state'), 'rediacc', 'playground'),
    cacheDir: join(env.XDG_CACHE_HOME ?? join(home, '.cache'), 'rediacc', 'playground'),
  };
}

function reporter({ io }: CommandContext): (step: StepReport) => void {
  return ({ title, state, ms, detail }) => {
    // Minutes may pass until it is done.
    if (state === 'start') io.say(`  ${title} …`);
    else
      io.say(
        `  ${title}${detail === undefined ? '' : ` (${detail})`}${ms === undefined ? '' : ` ${formatDuration(ms)}`}`,
      );
  };
}

/** A machine like any other: address, login, pinned host key. The current context stays what it is. */
async function register({ config }: CommandContext, vm: VmInstance): Promise<void> {
  await config.update((file) => {
    const context = file.contexts[NAME as ContextName] ?? { machines: {}, repositories: {} };
    context.sshKey = vm.identityFile;
    context.machines[NAME as MachineName] = {
      ip: vm.sshHost,
      user: vm.users.deploy,
      port: vm.sshPort,
      datastore: '/mnt/rediacc',
      hostKeys: vm.hostKeys,
      registryMirrors: [vm.registryMirror],
    };
    file.contexts[NAME as ContextName] = context;
    file.current ??= NAME as ContextName;
  });
}

/** The disks are gone, and with them every repository on them; the credentials stay where they are. */
async function unregister({ config }: CommandContext): Promise<void> {
  await config.update((file) => {
    const context = file.contexts[NAME as ContextName];
    if (context === undefined) return;
    delete context.machines[NAME as MachineName];
    for (const [guid, { machine }] of Object.entries(context.repositories)) {
      if (machine === NAME) delete context.repositories[guid as Guid];
    }
    if (Object.keys(context.machines).length > 0) return;
    delete file.contexts[NAME as ContextName];
    if (file.current === NAME) delete file.current;
  });
}
