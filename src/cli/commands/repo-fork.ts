// rdc repo fork. As with create, the fork's credential is saved before the machine is asked for anything, and a fork that
// was cut off is finished by repeating it.
import { RdcError } from '../../protocol/errors.ts';
import { type RepoName, repoNameSchema } from '../../protocol/ids.ts';
import type { OutputOf } from '../../protocol/operations.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { AgentClient } from '../agent-client.ts';
import { runOperation, withAgent } from '../agent-run.ts';
import { type CommandEnd, defineCommand, flag, requiredOption } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { type Creation, forgetCreation, pendingCreation, rememberCreation, settleFailedCreation } from '../creation.ts';
import { chosenPassphrase, givenCredential, withCredential } from '../credential-source.ts';
import { generateCredential } from '../credentials.ts';
import { parseWith } from '../parse.ts';
import { sayDone } from '../render.ts';
import { showUnfinished } from '../repo-end.ts';
import type { RunEnd } from '../run-end.ts';
import { showOnce } from '../show-credential.ts';
import { type MachineTarget, type RepositoryTarget, repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument } from './options.ts';

type ForkEnd = RunEnd<OutputOf<'repo.fork'>>;

export const repoFork = defineCommand({
  name: 'repo fork',
  summary: 'copy a repository under another name, to try things on real data',
  details:
    'Instant where the datastore can share blocks (setup-machine --datastore-size), else a whole copy of a closed ' +
    'repository. One that is running is copied as it is at one moment. The fork has addresses and a credential of its own, ' +
    'which is saved and shown once; it does not start at boot. Repeating a fork that was cut off finishes it.',
  args: { name: repoArgument },
  options: {
    machine: machineOfRepo,
    as: requiredOption('--as <name>', 'how the fork is called', parseWith(repoNameSchema)),
    up: flag('--up', 'start its services as well'),
    reencrypt: flag(
      '--reencrypt',
      'encrypt the fork anew under a master key of its own: takes long, and its full size on the datastore',
    ),
    promptPassphrase: flag('--prompt-passphrase', "choose the fork's passphrase at the terminal instead"),
    ...credentialSource,
  },
  changes: 'machine',
  async run(command, { name, as, machine: machineName, up, reencrypt, promptPassphrase, ...source }) {
    const parent = await repositoryTarget(command, name, machineName);
    const { machine } = parent;
    if (command.detach && (up || reencrypt)) {
      throw new RdcError('USAGE', '--detach leaves the copy to itself: nobody would be there for --up or --reencrypt');
    }
    const given = await givenCredential(command, source);
    const creation = await prepare(command, machine, { name: as, promptPassphrase });
    return await withAgent(command, machine, async (client) => {
      const connection = { client, machine };
      const end = await fork(command, connection, { parent, given, creation, reencrypt });
      tell(command, parent, end, { ...creation, reencrypt });
      if (end.output === undefined) return undefined;
      const started = up ? await start(command, connection, creation) : undefined;
      const { run, outcome, output, warnings } = end;
      command.io.printJson({
        machine: machine.name,
        ...{ run, outcome, ...output, warnings },
        ...(started === undefined ? {} : { up: { run: started.run, outcome: started.outcome, ...started.output } }),
      });
      return started === undefined ? undefined : tellStart(command, machine, creation, started);
    });
  },
});

async function prepare(
  command: CommandContext,
  machine: MachineTarget,
  { name, promptPassphrase }: { name: RepoName; promptPassphrase: boolean },
): Promise<Creation> {
  const pending = await pendingCreation(command, machine, name);
  if (pending?.credential !== undefined && promptPassphrase) {
    throw new RdcError('USAGE', `an earlier fork as "${name}" was cut off and has a credential`, {
      hint: 'finish it without --prompt-passphrase',
    });
  }
  const chosen = promptPassphrase ? await chosenPassphrase(command) : undefined;
  const credential = pending?.credential ?? chosen ?? generateCredential(command.randomBytes);
  return { guid: pending?.guid ?? command.newGuid(), name, credential, save: true, fresh: pending === undefined };
}

interface Order {
  parent: RepositoryTarget;
  given: Secret | undefined;
  creation: Creation;
  reencrypt: boolean;
}

async function fork(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  { parent, given, creation, reencrypt }: Order,
): Promise<ForkEnd> {
  const { client, machine } = connection;
  const { guid, name, credential } = creation;
  return await withCredential(command, { client, repo: parent, given }, async (old) => {
    if (old === undefined) throw unknownCredential(parent);
    await rememberCreation(command, machine, creation);
    try {
      const input = {
        repo: parent.ref,
        name,
        guid,
        credential: old,
        newCredential: credential.value,
        kdf: credential.kdf,
      };
      const end = await runOperation(command, connection, 'repo.fork', input);
      // Until it is encrypted anew the same command goes on with it.
      if (reencrypt && end.output !== undefined) {
        await runOperation(command, connection, 'repo.reencrypt', {
          repo: guid,
          credential: credential.value,
          kdf: credential.kdf,
        });
      }
      // What goes on without us may still fail: the record stays until the command is repeated.
      if (end.outcome !== 'detached') await forgetCreation(command, machine, creation);
      return end;
    } catch (error) {
      throw await settleFailedCreation(command, connection, creation, error);
    }
  });
}

function unknownCredential({ name }: RepositoryTarget): RdcError {
  return new RdcError('CREDENTIAL_MISSING', `a fork needs the credential of "${name}", which is not known here`, {
    hint: `rdc repo credential add ${name}`,
  });
}

function tell(
  command: CommandContext,
  parent: RepositoryTarget,
  end: ForkEnd,
  { name, credential, save, reencrypt }: Creation & { reencrypt: boolean },
): void {
  const { io } = command;
  const { machine } = parent;
  if (showUnfinished(command, machine, end) || end.output === undefined) return;
  const { changed, networkId, copy } = end.output;
  if (!changed) io.say(`= already: "${name}" is a fork of "${parent.name}"`);
  else {
    const how = reencrypt ? 'encrypted anew' : copy === 'shared' ? 'blocks shared' : 'copied whole';
    sayDone(io, false, `"${parent.name}" forked as "${name}" on "${machine.name}" (${how}, network id ${networkId})`);
    if (!reencrypt)
      io.say(io.paintErr.dim(`Its credential is its own; its master key is still that of "${parent.name}".`));
    showOnce(command, { name, credential, save });
  }
}

async function start(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  { guid, credential }: Creation,
): Promise<RunEnd<OutputOf<'repo.up'>>> {
  return await runOperation(command, connection, 'repo.up', { repo: guid, credential: credential.value });
}

function tellStart(
  command: CommandContext,
  machine: MachineTarget,
  { name }: Creation,
  { run, outcome, output }: RunEnd<OutputOf<'repo.up'>>,
): CommandEnd {
  if (outcome === 'done') {
    sayDone(command.io, false, `repository "${name}" is up on "${machine.name}"`);
    return undefined;
  }
  const failed = (output?.failed ?? []).map(({ where, reason }) => `${where} (${reason})`).join(', ');
  command.io.warn(`"${name}" is up only partly: ${failed} failed`, `rdc run logs ${run} -m ${machine.name}`);
  return 'PARTIAL';
}
