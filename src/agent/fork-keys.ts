// The header of a fork: its own UUID, and the fork's credential as the only key. The image is a copy that nobody uses yet;
// at every moment the parent's credential or the new one opens it, and no slot is wiped before another was seen to open.
import type { KeyKind } from '../lifecycle/luks.ts';
import { CREDENTIAL_SLOT, luksAddKey, luksSetUuid } from '../lifecycle/luks.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import { freeSlot, mustOpen, opens, renewHeaderBackup, usedSlots } from './key-slots.ts';

/** A LUKS2 header has 32 slots (cryptsetup(8)). */
const SLOTS = 32;

export interface ForkKeys {
  old: Secret;
  next: Secret;
  kdf: KeyKind;
}

export async function replaceKeys(system: System, target: RepoTarget, { old, next, kdf }: ForkKeys): Promise<void> {
  const { image } = target.paths;
  await system.run(luksSetUuid(image, target.guid));
  const inherited = await usedSlots(system, target);
  const spare = Array.from({ length: SLOTS }, (_, slot) => slot).find(
    (slot) => slot !== CREDENTIAL_SLOT && !inherited.includes(slot),
  );
  if (spare === undefined) throw new RdcError('FAILED', `no LUKS slot of "${target.name}" is free`);
  await system.run(luksAddKey(image, old, next, spare, kdf));
  await mustOpen(system, target, next, spare);
  for (const slot of inherited) await freeSlot(system, target, slot, next);
  await system.run(luksAddKey(image, next, next, CREDENTIAL_SLOT, kdf));
  await mustOpen(system, target, next, CREDENTIAL_SLOT);
  await freeSlot(system, target, spare, next);
  await refuseOldKey(system, target, old);
  await renewHeaderBackup(system, target, next);
}

async function refuseOldKey(system: System, target: RepoTarget, old: Secret): Promise<void> {
  const left = await usedSlots(system, target);
  if (left.length === 1 && left[0] === CREDENTIAL_SLOT && !(await opens(system, target, old))) return;
  throw new RdcError('STEP_NOT_VERIFIED', `an old key still opens the copy "${target.name}": it is thrown away`);
}
