// rdc repo create. The credential is saved before the machine is asked for anything, and goes again only when it is
// certain that nothing was created. A create that was cut off is finished by repeating it: same GUID, same credential.
import { RdcError } from '../../protocol/errors.ts';
import { type Guid, repoNameSchema } from '../../protocol/ids.ts';
import { OPERATIONS } from '../../protocol/operations.ts';
import { formatSize, parseSize } from '../../protocol/size.ts';
import type { AgentClient } from '../agent-client.ts';
import { runOperation, withAgent } from '../agent-run.ts';
import { argument, defineCommand, flag, requiredOption } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { type Creation, forgetCreation, pendingCreation, rememberCreation, settleFailedCreation } from '../creation.ts';
import { chosenPassphrase, givenCredential, type SourceOptions } from '../credential-source.ts';
import { type Credential, generateCredential } from '../credentials.ts';
import { parseValue, parseWith } from '../parse.ts';
import { showEnd } from '../repo-end.ts';
import type { RunEnd } from '../run-end.ts';
import { showOnce } from '../show-credential.ts';
import { type MachineTarget, machineTarget } from '../target.ts';
import { credentialSource, machineOption } from './options.ts';

export const repoCreate = defineCommand({
  name: 'repo create',
  summary: 'create an encrypted repository',
  details:
    'Makes a credential of 256 random bits, saves it in credentials.json and shows it once, on a terminal only. A ' +
    'credential from --credential-command or --credential-stdin is not saved. Repeating a create that was cut off ' +
    'finishes it.',
  args: { name: argument('NAME', 'how the repository is called', parseWith(repoNameSchema)) },
  options: {
    machine: machineOption,
    size: requiredOption(
      '--size <size>',
      'of its image, e.g. 10G, of which header and filesystem take 16 MiB and a little; space is taken as it fills',
      readSize,
    ),
    preallocate: flag('--preallocate', 'take all of it on the datastore now, so that a full datastore never hits it'),
    promptPassphrase: flag('--prompt-passphrase', 'choose a passphrase at the terminal instead'),
    ...credentialSource,
  },
  changes: 'machine',
  async run(command, { name, machine: machineName, size, preallocate, ...source }) {
    const machine = await machineTarget(command, machineName);
    const pending = await pendingCreation(command, machine, name);
    const { credential, save } = await chooseCredential(command, { name, machine, pending }, source);
    const creation = { guid: pending?.guid ?? command.newGuid(), name, credential, save, fresh: pending === undefined };
    const end = await withAgent(command, machine, (client) =>
      create(command, { client, machine }, creation, { sizeBytes: size, preallocate }),
    );
    const subject = `repository "${name}"`;
    const done = `${subject} created on "${machine.name}" (${formatSize(size)}${preallocate ? ', preallocated' : ''}, network id ${end.output?.networkId})`;
    const result = showEnd(command, machine, end, { done, already: `${subject} is created` });
    if (end.outcome === 'done') {
      showOnce(command, { name, credential, save });
      command.io.say(
        `next: rdc repo mount ${name}; then, with a Rediaccfile in DIR: rdc sync upload -r ${name} --local DIR`,
      );
    }
    return result;
  },
});

/** The operation's own rule, before anything is reached. */
function readSize(text: string): number {
  return parseValue(OPERATIONS['repo.create'].input.shape.sizeBytes, parseSize(text));
}

type Pending = { guid: Guid; credential: Credential | undefined } | undefined;

async function chooseCredential(
  command: CommandContext,
  { name, machine, pending }: { name: string; machine: MachineTarget; pending: Pending },
  source: SourceOptions & { promptPassphrase: boolean },
): Promise<{ credential: Credential; save: boolean }> {
  const { promptPassphrase, credentialCommand, credentialStdin } = source;
  const chosen = [promptPassphrase, credentialCommand !== undefined, credentialStdin].filter(Boolean).length;
  if (chosen > 1) throw new RdcError('USAGE', 'a credential can come from one place only');
  if (pending?.credential !== undefined) {
    if (chosen === 0) return { credential: pending.credential, save: true };
    throw new RdcError(
      'USAGE',
      `an earlier create of "${name}" on "${machine.name}" was cut off and has a credential`,
      {
        hint: `finish it without the option: rdc repo create ${name} -m ${machine.name} --size SIZE`,
      },
    );
  }
  const given = await givenCredential(command, source);
  if (given !== undefined) return { credential: { value: given, kdf: 'passphrase' }, save: false };
  if (pending !== undefined) {
    throw new RdcError('CREDENTIAL_MISSING', `an earlier create of "${name}" on "${machine.name}" was cut off`, {
      hint: 'finish it with the credential it was given: --credential-command or --credential-stdin',
    });
  }
  const credential = promptPassphrase ? await chosenPassphrase(command) : generateCredential(command.randomBytes);
  return { credential, save: true };
}

async function create(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  creation: Creation,
  shape: { sizeBytes: number; preallocate: boolean },
): Promise<RunEnd<{ networkId: number; changed: boolean }>> {
  const { guid, name, credential } = creation;
  await rememberCreation(command, connection.machine, creation);
  const { value, kdf } = credential;
  try {
    const input = { name, guid, ...shape, credential: value, kdf };
    const end = await runOperation(command, connection, 'repo.create', input);
    // What goes on without us may still fail: the record stays until the command is repeated.
    if (end.outcome !== 'detached') await forgetCreation(command, connection.machine, creation);
    return end;
  } catch (error) {
    throw await settleFailedCreation(command, connection, creation, error);
  }
}
