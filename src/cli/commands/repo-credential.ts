// rdc repo credential show, rotate, add. A rotation saves the new credential before the machine learns of it, and one
// that was cut off is finished with that same credential: no second one is ever made meanwhile.
import { RdcError } from '../../protocol/errors.ts';
import type { AgentClient } from '../agent-client.ts';
import { call, onRepository, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand, flag } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { chosenPassphrase, givenCredential } from '../credential-source.ts';
import { type Credential, generateCredential, type StoredCredential } from '../credentials.ts';
import { refuseForeignGuid } from '../known-guid.ts';
import { sayDone } from '../render.ts';
import { showEnd } from '../repo-end.ts';
import { recordRepository } from '../repo-record.ts';
import { added, begun, ended } from '../rotation-record.ts';
import { printCredential, showOnce } from '../show-credential.ts';
import { type RepositoryTarget, repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, repoArgument } from './options.ts';

const show = defineCommand({
  name: 'repo credential show',
  summary: 'print the credential of a repository that this workstation holds',
  details: 'Only to a terminal, unless --reveal says that a program may read it.',
  args: { name: repoArgument },
  options: { machine: machineOfRepo, reveal: flag('--reveal', 'print it even where stdout is no terminal') },
  changes: 'nothing',
  async run(command, { name, machine, reveal }) {
    const repo = await repositoryTarget(command, name, machine);
    const stored = repo.guid === undefined ? undefined : await command.credentials.get(repo.guid);
    if (stored === undefined) throw notHere(repo);
    if (!reveal && (!command.io.stdoutIsTerminal || command.io.json)) {
      throw new RdcError('CONFIRMATION_NEEDED', 'stdout is no terminal: the credential is not printed', {
        hint: `rdc repo credential show ${repo.name} --reveal`,
      });
    }
    if (stored.next !== undefined) {
      const hint = `finish it first: rdc repo credential rotate ${repo.name}`;
      command.io.warn('a rotation was cut off: this is the credential from before it', hint);
    }
    printCredential(command, repo.name, stored);
    return undefined;
  },
});

const add = defineCommand({
  name: 'repo credential add',
  summary: 'save the credential of a repository on this workstation',
  details: 'Checks first, on the machine, that it opens the repository.',
  args: { name: repoArgument },
  options: { machine: machineOfRepo, ...credentialSource },
  changes: 'workstation',
  async run(command, { name, machine, ...source }) {
    const repo = await repositoryTarget(command, name, machine);
    const value =
      (await givenCredential(command, source)) ?? (await command.ask.secret(`credential of "${repo.name}":`));
    const verified = await withAgent(command, repo.machine, (client) =>
      onRepository(client, repo, () =>
        call(command, client, 'repo.verify-credential', { repo: repo.ref, credential: value }),
      ),
    );
    if (!verified.opens) throw wrongCredential(repo.name);
    await refuseForeignGuid(command, repo, verified.guid);
    await recordRepository(command, repo.machine, verified);
    await command.credentials.change(verified.guid, added({ value, kdf: 'passphrase' }));
    sayDone(command.io, command.dryRun, `credential of "${verified.name}" saved in ${command.credentials.path}`);
    command.io.printJson({ machine: repo.machine.name, name: verified.name, guid: verified.guid, changed: true });
    return undefined;
  },
});

const rotate = defineCommand({
  name: 'repo credential rotate',
  summary: 'replace the credential of a repository',
  details:
    'The new one is saved before the machine learns of it, and at every moment one of the two opens the repository. If ' +
    'the command is cut off, repeat it: it goes on with the same new credential.',
  args: { name: repoArgument },
  options: {
    machine: machineOfRepo,
    promptPassphrase: flag('--prompt-passphrase', 'choose a new passphrase at the terminal instead of a generated one'),
    ...credentialSource,
  },
  changes: 'machine',
  async run(command, { name, machine: machineName, promptPassphrase, ...source }) {
    const repo = await repositoryTarget(command, name, machineName);
    const { machine } = repo;
    const given = await givenCredential(command, source);
    const chosen = promptPassphrase ? await chosenPassphrase(command) : undefined;
    return await withAgent(command, machine, (client) =>
      onRepository(client, repo, async () => {
        const { guid } = await call(command, client, 'repo.status', { repo: repo.ref });
        await refuseForeignGuid(command, repo, guid);
        const stored = await command.credentials.get(guid);
        const current = given ?? stored?.value ?? (await command.ask.secret(`present credential of "${repo.name}":`));
        const next = nextCredential(command, repo, { stored, chosen });
        const before: Credential = { value: current, kdf: stored?.kdf ?? 'passphrase' };
        await refuseWrong(command, client, { repo, credential: before, next });
        await recordRepository(command, machine, { guid, name: repo.name });
        await command.credentials.change(guid, begun(stored, before, next));
        const input = { repo: repo.ref, credential: current, newCredential: next.value, kdf: next.kdf };
        const end = await runOperation(command, { client, machine }, 'repo.rotate-credential', input);
        if (end.outcome === 'done') await command.credentials.change(guid, ended(next));
        const subject = `the credential of "${repo.name}"`;
        const result = showEnd(command, machine, end, {
          done: `${subject} is replaced`,
          already: `${subject} is replaced`,
        });
        showOnce(command, { name: repo.name, credential: next, save: end.outcome === 'done' });
        return result;
      }),
    );
  },
});

function nextCredential(
  command: CommandContext,
  repo: RepositoryTarget,
  { stored, chosen }: { stored: StoredCredential | undefined; chosen: Credential | undefined },
): Credential {
  if (stored?.next === undefined) return chosen ?? generateCredential(command.randomBytes);
  if (chosen === undefined) return stored.next;
  throw new RdcError('USAGE', `an earlier rotation of "${repo.name}" was cut off and has its new credential`, {
    hint: `finish it first: rdc repo credential rotate ${repo.name}`,
  });
}

/** Nothing is saved for a credential that opens nothing: a mistyped one must not take the place of a good one. */
async function refuseWrong(
  command: CommandContext,
  client: AgentClient,
  { repo, credential, next }: { repo: RepositoryTarget; credential: Credential; next: Credential },
): Promise<void> {
  for (const { value } of [credential, next]) {
    const { opens } = await call(command, client, 'repo.verify-credential', { repo: repo.ref, credential: value });
    if (opens) return;
  }
  throw wrongCredential(repo.name);
}

function notHere({ name }: RepositoryTarget): RdcError {
  return new RdcError('CREDENTIAL_MISSING', `this workstation has no credential for repository "${name}"`, {
    hint: `rdc repo credential add ${name}`,
  });
}

export function wrongCredential(name: string): RdcError {
  return new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${name}"`);
}

export const CREDENTIAL_COMMANDS = [show, rotate, add];
