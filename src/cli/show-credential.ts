// The only two ways a credential reaches a screen: once when it is made, and when a person asks for it. The place where
// the CLI turns a credential into text.
import type { CommandContext } from './context.ts';
import type { Credential } from './credentials.ts';

export interface Shown {
  name: string;
  credential: Credential;
  /** It is in credentials.json. */
  save: boolean;
}

/** On a terminal only, never under --json or -q; what a person chose is not repeated to them. */
export function showOnce({ io, credentials, dryRun }: CommandContext, { name, credential, save }: Shown): void {
  if (dryRun || !save) return;
  const kept = `It is kept in ${credentials.path}`;
  if (credential.kdf === 'passphrase') io.say(`${kept}.`);
  else if (!io.stdoutIsTerminal || io.json || io.quiet) {
    io.say(`its credential is kept in ${credentials.path}; show it: rdc repo credential show ${name} --reveal`);
  } else {
    io.print(`\ncredential of "${name}", shown this once:\n\n    ${io.paintOut.bold(credential.value.reveal())}\n`);
    io.say(`${kept}. Keep a copy elsewhere: without it nobody can open the repository.`);
  }
}

/** For `rdc repo credential show`. */
export function printCredential({ io }: CommandContext, name: string, { value }: Credential): void {
  // As it is, to the byte: io.print takes out what does not belong on a terminal.
  if (!io.json) io.streams.stdout.write(`${value.reveal()}\n`);
  io.printJson({ name, credential: value.reveal() });
}
