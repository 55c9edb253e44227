// cryptsetup and losetup command lines (cryptsetup(8), losetup(8)), and what their exit codes mean. Builders only.
// Rules: LUKS2, aes-xts-plain64, 512-bit key, 4096-byte sectors, discards passed through; a slot is never wiped
// here without the caller having proof that another one opens.
import { RdcError } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import type { Command } from './command.ts';
import { command } from './command.ts';

export const CREDENTIAL_SLOT = 0;
/** Holds the new credential while slot 0 is being rewritten. */
export const ROTATION_SLOT = 7;

/** A key with 256 random bits needs no slow derivation; one that a person chose does (SPEC section 4). */
export type KeyKind = 'random' | 'passphrase';

/** The fewest that cryptsetup takes. */
export const CHEAP_ITERATIONS = 1000;
export const WRONG_KEY_EXIT = 2;

export function derivation(kind: KeyKind): string[] {
  return kind === 'random'
    ? ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', String(CHEAP_ITERATIONS)]
    : ['--pbkdf', 'argon2id'];
}

/** The header's UUID is the repository's GUID, so that an image tells whose it is. */
export function luksFormat(image: string, key: Secret, kind: KeyKind, uuid: string): Command {
  const shape = ['--type', 'luks2', '--cipher', 'aes-xts-plain64', '--key-size', '512', '--sector-size', '4096'];
  const args = [
    'luksFormat',
    '--batch-mode',
    ...shape,
    ...derivation(kind),
    '--key-slot',
    String(CREDENTIAL_SLOT),
    '--uuid',
    uuid,
  ];
  return { file: 'cryptsetup', args: [...args, '--key-file', '-', image], stdin: key };
}

/** Attaches the image to a loop device of its own, refusing a second one (--nooverlap). Prints nothing: the device is found in sysfs. */
export function attachLoop(image: string): Command {
  return command('losetup', '--find', '--nooverlap', image);
}

/** On a device in use the kernel only marks it to detach itself on its last close (loop(4) LO_FLAGS_AUTOCLEAR). */
export function detachLoop(device: string): Command {
  return command('losetup', '--detach', device);
}

export interface OpenAs {
  /** By that file's header instead of its own, read-only. */
  header?: string | undefined;
  /** No discards: what is freed inside stays taken on the datastore. */
  keepsBlocks?: boolean;
}

export function luksOpen(device: string, mapping: string, key: Secret, { header, keepsBlocks }: OpenAs = {}): Command {
  const how = header === undefined ? discards(keepsBlocks) : ['--readonly', '--header', header];
  const args = ['open', '--type', 'luks2', ...how, '--key-file', '-', device, mapping];
  // A memory-hard derivation on a busy machine takes its time.
  return { file: 'cryptsetup', args, stdin: key, timeoutMs: 300_000 };
}

/**
 * Waits until no other such command runs on the machine: each may take 1 GiB of memory (cryptsetup(8), --pbkdf-memory), and
 * several at once would take it from what runs.
 */
export function oneAtATime(lockFile: string, { file, args, ...rest }: Command): Command {
  return { ...rest, file: 'flock', args: [lockFile, file, ...args], timeoutMs: 1_800_000 };
}

export function discards(keepsBlocks = false): string[] {
  return keepsBlocks ? [] : ['--allow-discards'];
}

/** Exit 0 when the key opens (that slot of) the image, 2 when not; with `header` by that file's header instead of its own. */
export function luksTestKey(
  image: string,
  key: Secret,
  { slot, header }: { slot?: number | undefined; header?: string } = {},
): Command {
  const only = slot === undefined ? [] : ['--key-slot', String(slot)];
  const by = header === undefined ? [] : ['--header', header];
  const args = ['open', '--test-passphrase', '--type', 'luks2', ...by, ...only, '--key-file', '-', image];
  return { file: 'cryptsetup', args, stdin: key, allow: [WRONG_KEY_EXIT], timeoutMs: 300_000 };
}

/**
 * To the size of the device below it. The kernel keeps the volume key in a keyring of its own, out of reach, so cryptsetup
 * needs a key once more, and exits with 2 where it does not fit (cryptsetup-resize(8)).
 */
export function luksResize(mapping: string, key: Secret): Command {
  return { file: 'cryptsetup', args: ['resize', '--key-file', '-', mapping], stdin: key, timeoutMs: 300_000 };
}

/** Tells the kernel that the image has another size by now. */
export function resizeLoop(device: string): Command {
  return command('losetup', '--set-capacity', device);
}

export function luksClose(mapping: string): Command {
  return command('cryptsetup', 'close', mapping);
}

/** Of a mapping without a table in force, which cryptsetup(8) neither closes (exit code 4) nor opens over (5). udev may hold it for a moment. */
export function removeHalfMade(mapping: string): Command {
  return command('dmsetup', 'remove', '--retry', mapping);
}

export function isLuks2(image: string): Command {
  return { ...command('cryptsetup', 'isLuks', '--type', 'luks2', image), allow: [1] };
}

export function luksUuid(image: string): Command {
  return command('cryptsetup', 'luksUUID', image);
}

export function luksSetUuid(image: string, uuid: string): Command {
  return command('cryptsetup', 'luksUUID', '--batch-mode', '--uuid', uuid, image);
}

/**
 * A new master key under the same credential, which must be in slot 0 alone and may be in another slot afterwards
 * (cryptsetup-reencrypt(8)). Offline: the device is attached, not open. Without --batch-mode, which would keep its progress
 * to itself.
 */
export function luksReencrypt(device: string, key: Secret, kind: KeyKind): Command {
  const slot = ['--key-slot', String(CREDENTIAL_SLOT), '--key-file', '-'];
  const args = ['reencrypt', '--progress-frequency', '1', ...derivation(kind), ...slot, device];
  return { file: 'cryptsetup', args, stdin: key, timeoutMs: Number.POSITIVE_INFINITY };
}

/**
 * Of one that was cut off while it wrote, what it was writing; without that nothing goes on. Of another one nothing, so it may be
 * done before every luksReencryptResume() (cryptsetup-repair(8)).
 */
export function luksReencryptRecover(device: string, key: Secret): Command {
  const args = ['repair', '--batch-mode', '--key-file', '-', device];
  return { file: 'cryptsetup', args, stdin: key, timeoutMs: Number.POSITIVE_INFINITY };
}

/** Goes on with one that was cut off. */
export function luksReencryptResume(device: string, key: Secret): Command {
  const args = ['reencrypt', '--resume-only', '--progress-frequency', '1', '--key-file', '-', device];
  return { file: 'cryptsetup', args, stdin: key, timeoutMs: Number.POSITIVE_INFINITY };
}

/** luksDump --dump-json-metadata: the slots that exist are the keys of `.keyslots`. */
export function luksMetadata(image: string): Command {
  return command('cryptsetup', 'luksDump', '--dump-json-metadata', image);
}

/** cryptsetup refuses to write over a file, and writes in place: header-backup.ts makes one whole of it. */
export function luksHeaderBackup(image: string, file: string): Command {
  return command('cryptsetup', 'luksHeaderBackup', image, '--header-backup-file', file);
}

/** Writes over the header of the image: only after the backup was seen to open its data. */
export function luksHeaderRestore(image: string, file: string): Command {
  return command('cryptsetup', 'luksHeaderRestore', '--batch-mode', image, '--header-backup-file', file);
}

/** Both keys come over stdin, told apart by their lengths, so that neither is ever a file. Not by /dev/stdin: it cannot be opened where it is a socket, as Node makes it. */
export function luksAddKey(image: string, existing: Secret, added: Secret, slot: number, kind: KeyKind): Command {
  const lengths = ['--keyfile-size', String(existing.byteLength), '--new-keyfile-size', String(added.byteLength)];
  const args = [
    'luksAddKey',
    '--batch-mode',
    ...derivation(kind),
    '--key-slot',
    String(slot),
    '--key-file',
    '-',
    ...lengths,
  ];
  return {
    file: 'cryptsetup',
    args: [...args, image, '-'],
    stdin: existing.concat(added),
    timeoutMs: 300_000,
  };
}

/** 256 random bytes need no slow derivation. The existing key comes over stdin; both files are root's alone. */
/** Only after luksTestKey has shown that `remaining` opens another slot: with --batch-mode even the last one is wiped. */
export function luksKillSlot(image: string, slot: number, remaining: Secret): Command {
  const args = ['luksKillSlot', '--batch-mode', '--key-file', '-', image, String(slot)];
  return { file: 'cryptsetup', args, stdin: remaining, timeoutMs: 300_000 };
}

/** WRONG_CREDENTIAL for cryptsetup's exit code 2, VOLUME_DAMAGED for 1 (no LUKS device any more); everything else stays as it is. */
export function explainOpenFailure(error: unknown, repo: string): unknown {
  switch (exitCodeOf(error)) {
    case WRONG_KEY_EXIT:
      return new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${repo}"`, {
        hint: `rdc repo credential add ${repo}`,
        cause: error,
      });
    case 1:
      return new RdcError('VOLUME_DAMAGED', `the image of repository "${repo}" is no encrypted volume (any more)`, {
        hint: `if only its header is damaged: rdc repo restore-header ${repo}`,
        cause: error,
      });
    default:
      return error;
  }
}

export function isWrongKey(error: unknown): boolean {
  return exitCodeOf(error) === WRONG_KEY_EXIT;
}

/** The exit code that a COMMAND_FAILED error carries. */
export function exitCodeOf(error: unknown): number | undefined {
  const cause = error instanceof RdcError ? error.cause : undefined;
  const code = cause !== null && typeof cause === 'object' ? (cause as { exitCode?: unknown }).exitCode : undefined;
  return typeof code === 'number' ? code : undefined;
}
