// Which of the keys that a server shows become pinned, and who decides: a fingerprint given on the command line, a
// person at the terminal, or, for a machine added by a script, the first look (and it says so).
import { RdcError } from '../protocol/errors.ts';
import type { CommandContext } from './context.ts';
import type { HostKey } from './ssh/host-keys.ts';

export interface TrustOptions {
  /** Fingerprints ("SHA256:…") or whole keys ("ssh-ed25519 AAAA…") that a person got in another way. */
  expected: readonly string[];
  acceptNew: boolean;
}

export interface TrustQuestion {
  machine: string;
  host: string;
  port: number;
  shown: readonly HostKey[];
  /** What was pinned before; empty for a new machine. */
  pinned: readonly string[];
}

/** The keys to pin. Throws HOST_KEY when none is what was expected, CONFIRMATION_NEEDED when nobody can decide. */
export async function decideTrust(
  command: CommandContext,
  question: TrustQuestion,
  { expected, acceptNew }: TrustOptions,
): Promise<string[]> {
  const { io, dryRun } = command;
  const { machine, host, port, shown, pinned } = question;
  const keys = shown.map(({ key }) => key);
  io.say(`host keys of "${machine}" (${host} port ${port}):`);
  for (const { type, fingerprint } of shown) io.say(`  ${fingerprint}  ${type}`);
  if (expected.length > 0) return expectedKeys(question, expected);
  if (acceptNew || dryRun) return keys;
  if (io.canAsk) {
    const what = pinned.length === 0 ? 'Is this the machine you mean?' : 'Trust these keys from now on?';
    if (await command.ask.confirm(what)) return keys;
    throw new RdcError('CANCELLED', 'nothing was changed');
  }
  if (pinned.length > 0) {
    throw new RdcError('CONFIRMATION_NEEDED', `the host keys of machine "${machine}" are not the pinned ones`, {
      hint: `compare the fingerprints, then: rdc context scan-keys ${machine} --accept-new`,
    });
  }
  io.warn('these keys were trusted at first sight', `compare with the server: ${serverCommand(shown)}`);
  return keys;
}

function expectedKeys({ machine, shown }: TrustQuestion, expected: readonly string[]): string[] {
  const wanted = expected.map((text) => text.trim().split(/\s+/).slice(0, 2).join(' '));
  const matching = shown.filter(({ key, fingerprint }) => wanted.includes(key) || wanted.includes(fingerprint));
  if (matching.length > 0) return matching.map(({ key }) => key);
  throw new RdcError('HOST_KEY', `no host key of machine "${machine}" is the expected one`, {
    hint: `it shows ${shown.map(({ fingerprint }) => fingerprint).join(', ')}`,
  });
}

function serverCommand(shown: readonly HostKey[]): string {
  const file = shown[0]?.type.replace(/^ssh-|-sha2.*$/g, '') ?? 'ed25519';
  return `ssh-keygen -lf /etc/ssh/ssh_host_${file}_key.pub`;
}
