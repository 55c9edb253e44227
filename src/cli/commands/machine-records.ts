// rdc context add-machine, scan-keys, remove-machine: which servers a context has and which host keys they must show.
import { RdcError } from '../../protocol/errors.ts';
import { absolutePathSchema, machineNameSchema } from '../../protocol/ids.ts';
import { argument, defineCommand, flag, listOption, option, requiredOption } from '../command.ts';
import { entry, hostSchema, type Machine, machineSchema, portSchema, userSchema } from '../config-file.ts';
import { decideTrust } from '../host-key-trust.ts';
import { checkedKeyFile } from '../key-file.ts';
import { parseValue, parseWith } from '../parse.ts';
import { sayDone } from '../render.ts';
import { currentPlace, machineIn, placeIn } from '../target.ts';
import { machineArgument, yes } from './options.ts';

const trustOptions = {
  hostKey: listOption('--host-key <fingerprint>', 'pin only the key with this fingerprint (SHA256:…); may be repeated'),
  acceptNew: flag('--accept-new', 'pin the keys that the server shows without asking'),
};

const addMachine = defineCommand({
  name: 'context add-machine',
  summary: 'add a server to the context and pin its host keys',
  details:
    'Shows the fingerprints and, on a terminal, asks whether they are right. Without a terminal the keys are pinned at ' +
    'first sight; give --host-key to be sure.',
  args: { name: argument('NAME', 'how the machine is called from now on', parseWith(machineNameSchema)) },
  options: {
    ip: requiredOption('--ip <address>', 'its address or host name', parseWith(hostSchema)),
    user: requiredOption('--user <name>', 'login name; root, or one that may use sudo', parseWith(userSchema)),
    port: option('--port <number>', 'port of its ssh server (22)', (text) => parseValue(portSchema, Number(text))),
    datastore: option(
      '--datastore <path>',
      'directory for repositories on the machine (/mnt/rediacc)',
      parseWith(absolutePathSchema),
    ),
    sshKey: option('--ssh-key <path>', "private key for this machine, instead of the context's"),
    ...trustOptions,
  },
  changes: 'workstation',
  async run(command, { name, ip, user, port, datastore, sshKey, hostKey, acceptNew }) {
    const { io, dryRun, config } = command;
    const place = await currentPlace(command);
    const keyFile = sshKey === undefined ? undefined : await checkedKeyFile(command, sshKey);
    const wanted = machineSchema.parse({ ip, user, port, datastore, sshKey: keyFile });
    const known = entry(place.context.machines, name);
    if (known !== undefined && !sameServer(known, wanted)) {
      throw new RdcError('ALREADY_EXISTS', `context "${place.name}" has a machine "${name}" already`, {
        hint: `rdc context remove-machine ${name}`,
      });
    }
    if (known !== undefined && known.hostKeys.length > 0 && hostKey.length === 0) {
      io.say(`= already: context "${place.name}" has machine "${name}"`);
      io.printJson({ machine: name, ...known, changed: false });
      return undefined;
    }
    const shown = await command.scanHostKeys(ip, wanted.port);
    const question = { machine: name, host: ip, port: wanted.port, shown, pinned: known?.hostKeys ?? [] };
    const hostKeys = await decideTrust(command, question, { expected: hostKey, acceptNew });
    const machine = { ...wanted, hostKeys };
    await config.update((draft) => {
      const { context } = placeIn(draft, place.name);
      context.machines[name] = machine;
    });
    sayDone(io, dryRun, `machine "${name}" added to context "${place.name}"; next: rdc context setup-machine ${name}`);
    io.printJson({ machine: name, ...machine, changed: true });
    return undefined;
  },
});

function sameServer(a: Machine, b: Machine): boolean {
  return (['ip', 'user', 'port', 'datastore', 'sshKey'] as const).every((key) => a[key] === b[key]);
}

const scanKeys = defineCommand({
  name: 'context scan-keys',
  summary: 'look at the host keys of a machine again and pin them',
  details: 'For a server that was installed anew. On a terminal it asks before it trusts other keys than before.',
  args: { machine: machineArgument },
  options: trustOptions,
  changes: 'workstation',
  async run(command, { machine: name, hostKey, acceptNew }) {
    const { io, dryRun, config } = command;
    const target = machineIn(await currentPlace(command), name);
    const { ip, port, hostKeys: pinned } = target.machine;
    const shown = await command.scanHostKeys(ip, port);
    const same = shown.length === pinned.length && shown.every(({ key }) => pinned.includes(key));
    if (same && hostKey.length === 0) {
      io.say(`= already: machine "${target.name}" shows its pinned keys`);
      io.printJson({ machine: target.name, hostKeys: pinned, changed: false });
      return undefined;
    }
    const question = { machine: target.name, host: ip, port, shown, pinned };
    const hostKeys = await decideTrust(command, question, { expected: hostKey, acceptNew });
    await config.update((draft) => {
      machineIn(placeIn(draft, target.context), target.name).machine.hostKeys = hostKeys;
    });
    sayDone(io, dryRun, `${hostKeys.length} host keys of machine "${target.name}" pinned`);
    io.printJson({ machine: target.name, hostKeys, changed: true });
    return undefined;
  },
});

const removeMachine = defineCommand({
  name: 'context remove-machine',
  summary: 'forget a machine',
  details:
    'Only the record on this workstation goes, with those of its repositories. The server keeps everything, and ' +
    'credentials.json the keys: rdc repo adopt brings a repository back.',
  args: { machine: machineArgument },
  options: { yes },
  changes: 'workstation',
  async run(command, { machine: name, yes: sure }) {
    const { io, dryRun, config, ask } = command;
    const place = await currentPlace(command);
    const target = machineIn(place, name);
    const repositories = Object.values(place.context.repositories)
      .filter((record) => record?.machine === target.name)
      .map((record) => record?.name ?? '');
    if (repositories.length > 0 && !sure && !dryRun) {
      const question = `Forget machine "${target.name}" with the repositories ${repositories.join(', ')}?`;
      if (!io.canAsk) {
        throw new RdcError(
          'CONFIRMATION_NEEDED',
          `machine "${target.name}" has repositories: ${repositories.join(', ')}`,
          {
            hint: `rdc context remove-machine ${target.name} --yes`,
          },
        );
      }
      if (!(await ask.confirm(question))) throw new RdcError('CANCELLED', 'nothing was changed');
    }
    await config.update((draft) => {
      const { context } = placeIn(draft, place.name);
      delete context.machines[target.name];
      for (const [guid, record] of Object.entries(context.repositories)) {
        if (record?.machine === target.name) delete context.repositories[guid as keyof typeof context.repositories];
      }
    });
    sayDone(io, dryRun, `machine "${target.name}" forgotten`);
    io.printJson({ machine: target.name, repositories, changed: true });
    return undefined;
  },
});

export const MACHINE_RECORD_COMMANDS = [addMachine, scanKeys, removeMachine];
