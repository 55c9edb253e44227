// Whether a credential opens a repository, and putting a new one in slot 0. At every moment of a rotation at least
// one of the two opens the image; no slot is wiped before another one was seen to open.
import type { KeyKind } from '../lifecycle/luks.ts';
import { CREDENTIAL_SLOT, luksAddKey, ROTATION_SLOT } from '../lifecycle/luks.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Secret } from '../protocol/secret.ts';
import type { Finished, QueryContext, RunContext } from './handlers.ts';
import { dataSlots, freeSlot, mustOpen, opens, renewHeaderBackup, usedSlots } from './key-slots.ts';
import { observeHeaderBackup } from './observe-header-backup.ts';
import { identity } from './repo-volume.ts';
import { openWorkbench } from './repo-workbench.ts';

export async function verifyCredential(
  input: InputOf<'repo.verify-credential'>,
  context: QueryContext,
): Promise<OutputOf<'repo.verify-credential'>> {
  const bench = await openWorkbench(context, input.repo);
  return { ...identity(bench), opens: await opens(context.system, bench.target, input.credential) };
}

export async function rotateCredential(
  input: InputOf<'repo.rotate-credential'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.rotate-credential'>>> {
  const bench = await openWorkbench(context, input.repo);
  const { system } = context;
  const { target } = bench;
  const rotation = { old: input.credential, next: input.newCredential, kdf: input.kdf };
  if (await isRotated(system, target, rotation.next)) {
    return context.dryRun
      ? { outcome: 'planned' }
      : { outcome: 'done', output: { ...identity(bench), changed: false } };
  }
  if (!(await opens(system, target, rotation.old)) && !(await opens(system, target, rotation.next))) {
    throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${bench.record.name}"`);
  }
  if (context.dryRun) {
    context.report({
      kind: 'plan',
      steps: [{ id: 'credential.rotate', title: 'put the new credential into LUKS slot 0', expect: 'change' }],
    });
    return { outcome: 'planned' };
  }
  await rotate(system, target, rotation);
  return { outcome: 'done', output: { ...identity(bench), changed: true } };
}

/** To the end: one that was cut off after slot 0 would leave a slot, and a header backup that the removed key opens. */
async function isRotated(system: System, target: RepoTarget, next: Secret): Promise<boolean> {
  if (!(await opens(system, target, next, CREDENTIAL_SLOT))) return false;
  if ((await usedSlots(system, target)).includes(ROTATION_SLOT)) return false;
  return (await observeHeaderBackup(system, target.paths)) === 'current';
}

interface Rotation {
  old: Secret;
  next: Secret;
  kdf: KeyKind;
}

async function rotate(system: System, target: RepoTarget, { old, next, kdf }: Rotation): Promise<void> {
  const { image } = target.paths;
  if (!(await opens(system, target, next, CREDENTIAL_SLOT))) {
    if (!(await opens(system, target, next, ROTATION_SLOT))) {
      await finishEarlier(system, target, old);
      await freeSlot(system, target, ROTATION_SLOT, old);
      await system.run(luksAddKey(image, old, next, ROTATION_SLOT, kdf));
      await mustOpen(system, target, next, ROTATION_SLOT);
    }
    await freeSlot(system, target, CREDENTIAL_SLOT, next);
    await system.run(luksAddKey(image, next, next, CREDENTIAL_SLOT, kdf));
    await mustOpen(system, target, next, CREDENTIAL_SLOT);
  }
  await freeSlot(system, target, ROTATION_SLOT, next);
  // As an encrypting anew that was cut off at its end may have left one.
  for (const slot of await dataSlots(system, target)) {
    if (slot !== CREDENTIAL_SLOT && (await opens(system, target, old, slot)))
      await freeSlot(system, target, slot, next);
  }
  await renewHeaderBackup(system, target, next);
}

/** One that was cut off may have left its new credential, which is the old one now, in the rotation's slot alone. */
async function finishEarlier(system: System, target: RepoTarget, old: Secret): Promise<void> {
  if (await opens(system, target, old, CREDENTIAL_SLOT)) return;
  if (!(await opens(system, target, old, ROTATION_SLOT))) return;
  await freeSlot(system, target, CREDENTIAL_SLOT, old);
  // Nobody told of what kind it is: slow to guess is right for both.
  await system.run(luksAddKey(target.paths.image, old, old, CREDENTIAL_SLOT, 'passphrase'));
  await mustOpen(system, target, old, CREDENTIAL_SLOT);
}
