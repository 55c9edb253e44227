// The machine's own key of a repository, with which it starts at boot: a file of random bytes, in a LUKS slot of its own.

import { RdcError } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import { type Command, command } from './command.ts';
import { CHEAP_ITERATIONS, derivation, discards, exitCodeOf, type OpenAs, WRONG_KEY_EXIT } from './luks.ts';

export const KEYFILE_SLOT = 1;
const ONLY = ['--key-slot', String(KEYFILE_SLOT)];
/** cryptsetup(8) exits with 1 then, as for an image that is none. */
const SLOT_NOT_IN_USE = 'No usable keyslot';

/** By its own slot only: cryptsetup would try the others first, and their derivations may take a GiB of memory each. */
export function luksOpenWithKeyFile(
  device: string,
  mapping: string,
  keyFile: string,
  { keepsBlocks }: Pick<OpenAs, 'keepsBlocks'> = {},
): Command {
  const how = [...discards(keepsBlocks), ...ONLY, '--key-file', keyFile];
  return command('cryptsetup', 'open', '--type', 'luks2', ...how, device, mapping);
}

export function luksResizeWithKeyFile(mapping: string, keyFile: string): Command {
  return command('cryptsetup', 'resize', ...ONLY, '--key-file', keyFile, mapping);
}

export function luksAddKeyFile(image: string, existing: Secret, keyFile: string): Command {
  const args = ['luksAddKey', '--batch-mode', ...derivation('random'), ...ONLY, '--key-file', '-'];
  return { file: 'cryptsetup', args: [...args, image, keyFile], stdin: existing, timeoutMs: 300_000 };
}

/** Exit 0 when the file opens its slot, 1 when the slot is not in use, 2 when it does not. */
export function luksTestKeyFile(image: string, keyFile: string): Command {
  const args = ['open', '--test-passphrase', '--type', 'luks2', ...ONLY, '--key-file', keyFile];
  return { ...command('cryptsetup', ...args, image), allow: [1, WRONG_KEY_EXIT] };
}

/** Where the machine's own key was tried: nobody has typed anything wrong, and whoever has the credential mends it. */
export function explainKeyFileFailure(error: unknown, repo: string): RdcError | undefined {
  const isGone = exitCodeOf(error) === 1 && String((error as Error).cause).includes(SLOT_NOT_IN_USE);
  if (exitCodeOf(error) !== WRONG_KEY_EXIT && !isGone) return undefined;
  return new RdcError('WRONG_CREDENTIAL', `the machine's own key does not open repository "${repo}" any more`, {
    hint: `rdc repo up ${repo}   (with the credential; it gives the machine a key that fits)`,
    cause: error,
  });
}

/**
 * Whether slot 1 is free or looks like a key of ours, which alone has so cheap a derivation: cryptsetup(8) makes the slots of
 * people slow. `metadata` is what luksMetadata prints.
 */
export function mayBeOurs(metadata: string): boolean {
  const { keyslots = {} } = JSON.parse(metadata) as {
    keyslots?: Record<string, { kdf?: { type?: string; iterations?: number } }>;
  };
  const slot = keyslots[KEYFILE_SLOT];
  return slot === undefined || (slot.kdf?.type === 'pbkdf2' && slot.kdf.iterations === CHEAP_ITERATIONS);
}
