// Where a credential comes from: what the options name, what is stored, or a person at the terminal. Never from the
// command line itself or the environment.
import { spawn } from 'node:child_process';
import { text as readAll } from 'node:stream/consumers';
import { isCode, RdcError } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import type { AgentClient } from './agent-client.ts';
import { call, onRepository } from './agent-run.ts';
import { readSecret } from './ask.ts';
import type { CommandContext } from './context.ts';
import type { Credential } from './credentials.ts';
import { ended } from './rotation-record.ts';
import type { RepositoryTarget } from './target.ts';

/** A passphrase that a person can remember and nobody can guess is a sentence, not a word. */
const MIN_PASSPHRASE = 12;

export interface SourceOptions {
  credentialCommand: string | undefined;
  credentialStdin: boolean;
}

/** The credential that the options name, if they name one; asked for before anything is reached. */
export async function givenCredential(
  command: CommandContext,
  { credentialCommand, credentialStdin }: SourceOptions,
): Promise<Secret | undefined> {
  if (credentialCommand !== undefined && credentialStdin) {
    throw new RdcError('USAGE', '--credential-command and --credential-stdin exclude each other');
  }
  if (credentialCommand !== undefined) return await fromCommand(command, credentialCommand);
  return credentialStdin ? await fromStdin(command) : undefined;
}

/** stdin and stderr are the person's: the command may have to ask for a PIN. */
async function fromCommand({ env, cwd, signal }: CommandContext, line: string): Promise<Secret> {
  const child = spawn(line, { shell: true, stdio: ['inherit', 'pipe', 'inherit'], env, cwd, signal });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const output = await Promise.race([readAll(child.stdout), failed]);
  const exitCode = await ended;
  if (exitCode !== 0)
    throw new RdcError('CREDENTIAL_MISSING', `the credential command ended with exit code ${exitCode}`);
  return readSecret(firstLine(output), 'what the credential command printed');
}

async function fromStdin({ io, ask }: CommandContext): Promise<Secret> {
  const { stdin } = io.streams;
  if (stdin.isTTY === true) return await ask.secret('credential:');
  return readSecret(firstLine(await readAll(stdin)), 'what came on stdin');
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? '';
}

/** A passphrase that a person chooses, typed twice. */
export async function chosenPassphrase({ ask, io }: CommandContext): Promise<Credential> {
  if (!io.canAsk) {
    throw new RdcError('CREDENTIAL_MISSING', '--prompt-passphrase needs a terminal', {
      hint: 'without one: --credential-command or --credential-stdin',
    });
  }
  const value = await ask.secret('passphrase:');
  if (value.byteLength < MIN_PASSPHRASE) {
    throw new RdcError('INVALID_INPUT', `the passphrase is shorter than ${MIN_PASSPHRASE} characters`);
  }
  if (!value.equals(await ask.secret('once more:'))) throw new RdcError('INVALID_INPUT', 'the two passphrases differ');
  return { value, kdf: 'passphrase' };
}

/** The stored credential. While a rotation is unfinished the machine is asked which of the two opens; the store is only changed where that is beyond doubt. */
export async function storedCredential(
  command: CommandContext,
  client: AgentClient,
  { guid, ref, name }: RepositoryTarget,
): Promise<Secret | undefined> {
  const stored = guid === undefined ? undefined : await command.credentials.get(guid);
  if (guid === undefined || stored?.next === undefined) return stored?.value;
  const { next } = stored;
  const opens = async (credential: Secret) =>
    (await call(command, client, 'repo.verify-credential', { repo: ref, credential })).opens;
  if (!(await opens(next.value))) return stored.value;
  if (await opens(stored.value)) {
    command.io.warn(
      `a rotation of the credential of "${name}" was cut off`,
      `finish it: rdc repo credential rotate ${name}`,
    );
    return stored.value;
  }
  await command.credentials.change(guid, ended(next));
  return next.value;
}

export interface Opening {
  client: AgentClient;
  repo: RepositoryTarget;
  given: Secret | undefined;
}

/** Does what may need the credential: with the one given, else the stored one, else one that a person types. */
export async function withCredential<T>(
  command: CommandContext,
  { client, repo, given }: Opening,
  attempt: (credential: Secret | undefined) => Promise<T>,
): Promise<T> {
  return await onRepository(client, repo, async () => {
    const credential = given ?? (await storedCredential(command, client, repo));
    try {
      return await attempt(credential);
    } catch (error) {
      if (!isCode(error, 'CREDENTIAL_MISSING') || credential !== undefined || !command.io.canAsk) throw error;
    }
    return await attempt(await command.ask.secret(`credential of "${repo.name}":`));
  });
}

export function credentialMissing(repo: string): RdcError {
  return new RdcError('CREDENTIAL_MISSING', `the credential of "${repo}" is not known here`, {
    hint: `rdc repo credential add ${repo}`,
  });
}
