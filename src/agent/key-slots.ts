// The key slots of a repository's image, and the backup of the header that holds them. No slot is wiped before another one
// was seen to open.
import type { Command } from '../lifecycle/command.ts';
import { headerBackupActions, headerBackupDraft } from '../lifecycle/header-backup.ts';
import { exitCodeOf, luksKillSlot, luksMetadata, luksTestKey } from '../lifecycle/luks.ts';
import { perform } from '../lifecycle/run-plan.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';

/** `proof` must open the image. The older backup, which a removed key would still open, is gone when this resolves (SPEC section 4). */
export async function renewHeaderBackup(system: System, { paths }: RepoTarget, proof: Secret): Promise<void> {
  try {
    for (const action of headerBackupActions(paths, proof)) await perform(system, action);
  } catch (error) {
    await system.remove(headerBackupDraft(paths));
    throw error;
  }
}

/** Wipes a slot if it is in use, only after `proof` was seen to open a different one. */
export async function freeSlot(system: System, target: RepoTarget, slot: number, proof: Secret): Promise<void> {
  const slots = await usedSlots(system, target);
  if (!slots.includes(slot)) return;
  const openers = (await dataSlots(system, target)).filter((other) => other !== slot);
  for (const other of openers) {
    if (!(await opens(system, target, proof, other))) continue;
    await system.run(luksKillSlot(target.paths.image, slot, proof));
    return;
  }
  throw new RdcError(
    'WRONG_CREDENTIAL',
    `no other key slot of "${target.name}" was seen to open: slot ${slot} stays as it is`,
  );
}

export async function usedSlots(system: System, { paths }: RepoTarget): Promise<number[]> {
  const { stdout } = await system.run(luksMetadata(paths.image));
  const metadata = JSON.parse(stdout) as { keyslots?: Record<string, unknown> };
  return Object.keys(metadata.keyslots ?? {}).map(Number);
}

/**
 * Those with the key of the data. Another one, as a reencryption that died in its first moments has left it, is "opened" by its
 * credential as well when that is only tried, and opens nothing (LUKS2 On-Disk Format Specification, "digests").
 */
export async function dataSlots(system: System, { paths }: RepoTarget): Promise<number[]> {
  const { stdout } = await system.run(luksMetadata(paths.image));
  const { keyslots = {}, digests = {} } = JSON.parse(stdout) as {
    keyslots?: Record<string, unknown>;
    digests?: Record<string, { keyslots: string[]; segments: string[] }>;
  };
  const unbound = Object.values(digests).flatMap((digest) => (digest.segments.length === 0 ? digest.keyslots : []));
  return Object.keys(keyslots)
    .filter((slot) => !unbound.includes(slot))
    .map(Number);
}

export async function mustOpen(system: System, target: RepoTarget, key: Secret, slot: number): Promise<void> {
  if (await opens(system, target, key, slot)) return;
  throw new RdcError(
    'STEP_NOT_VERIFIED',
    `the new credential of "${target.name}" does not open slot ${slot}: the old one is still in place`,
  );
}

export async function opens(system: System, { paths, name }: RepoTarget, key: Secret, slot?: number): Promise<boolean> {
  const test: Command = luksTestKey(paths.image, key, { slot });
  try {
    return (await system.run(test)).exitCode === 0;
  } catch (error) {
    // 1: the slot is not active, or the image is no LUKS device; 4: the image cannot be read (cryptsetup(8)). What was cancelled,
    // killed or had no memory says nothing about the image.
    const exitCode = exitCodeOf(error);
    if (slot !== undefined && exitCode === 1) return false;
    if (exitCode !== 1 && exitCode !== 4) throw error;
    throw new RdcError('VOLUME_DAMAGED', `the image of repository "${name}" cannot be read as an encrypted volume`, {
      cause: error,
    });
  }
}

/** Whether the key opens the image by the backup of its header. A backup that is no header opens nothing. */
export async function opensBackup(system: System, { paths }: RepoTarget, key: Secret): Promise<boolean> {
  const test = luksTestKey(paths.image, key, { header: paths.headerBackup });
  return (await system.run({ ...test, allow: [...(test.allow ?? []), 1] })).exitCode === 0;
}
