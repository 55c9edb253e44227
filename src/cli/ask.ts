// Questions to a person. Only a terminal is asked; what to do without one is up to the caller. Questions go to stderr,
// so that stdout stays data.
import { RdcError } from '../protocol/errors.ts';
import { type Secret, secretTextSchema } from '../protocol/secret.ts';
import type { Io } from './io.ts';

export interface Ask {
  confirm(question: string): Promise<boolean>;
  text(question: string): Promise<string>;
  /** Hidden while it is typed, e.g. for a key file: not a repository's credential. */
  passphrase(question: string): Promise<string>;
  /** A credential, hidden while it is typed. */
  secret(question: string): Promise<Secret>;
}

export function terminalAsk(io: Io, signal: AbortSignal): Ask {
  const { stdin: input, stderr: output } = io.streams;
  // A question that is asked after an interrupt is about it, and not ended by it.
  const terminal = () => ({ input, output, ...(signal.aborted ? {} : { signal }) });
  const prompts = async () => {
    if (!io.canAsk) throw new RdcError('CONFIRMATION_NEEDED', 'this needs an answer, and there is no terminal to ask');
    return await import('@inquirer/prompts');
  };
  const hidden = async (message: string) => await (await prompts()).password({ message, mask: false }, terminal());
  return {
    confirm: async (message) => await (await prompts()).confirm({ message, default: false }, terminal()),
    text: async (message) => await (await prompts()).input({ message }, terminal()),
    passphrase: hidden,
    secret: async (message) => readSecret(await hidden(message), 'what was typed'),
  };
}

/** Throws INVALID_INPUT without showing the text. */
export function readSecret(text: string, source: string): Secret {
  const parsed = secretTextSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new RdcError('INVALID_INPUT', `${source} cannot be a credential: ${parsed.error.issues[0]?.message ?? ''}`);
}
