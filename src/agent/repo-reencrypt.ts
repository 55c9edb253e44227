// A new master key for a closed repository: a fork shares that of its parent until then. cryptsetup writes every block of
// the image anew, so it shares no block any more and takes its full size. What is cut off is finished by repeating it.

import type { Command } from '../lifecycle/command.ts';
import {
  CREDENTIAL_SLOT,
  detachLoop,
  luksAddKey,
  luksMetadata,
  luksReencrypt,
  luksReencryptRecover,
  luksReencryptResume,
} from '../lifecycle/luks.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { attachStep, closeVolumeSteps } from '../lifecycle/volume.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Secret } from '../protocol/secret.ts';
import { formatSize } from '../protocol/size.ts';
import type { Finished, RunContext } from './handlers.ts';
import { dataSlots, freeSlot, mustOpen, opens, renewHeaderBackup, usedSlots } from './key-slots.ts';
import { freeBytes } from './repo-create.ts';
import type { RepoRecord } from './repo-store.ts';
import { identity } from './repo-volume.ts';
import { carryOut, openWorkbench, type Workbench } from './repo-workbench.ts';
import { reportedStep } from './reported-step.ts';
import { undo } from './undo.ts';

const STEP = { id: 'volume.reencrypt', title: 'encrypt everything anew under a master key of its own' } as const;

export async function reencryptRepo(
  input: InputOf<'repo.reencrypt'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.reencrypt'>>> {
  const bench = await openWorkbench(context, input.repo);
  const { record, store, target } = bench;
  const { system } = context;
  if (record.masterKey === 'own') return ended(bench, context, false);
  const phase = await phaseOf(bench, input, context);
  if (context.dryRun) {
    context.report({ kind: 'plan', steps: [{ ...STEP, expect: 'change' }] });
    return { outcome: 'planned' };
  }
  const facts = await bench.observe();
  // Upon the loop device cryptsetup would take it for one that is open.
  const closing = facts.halfMade ? closeVolumeSteps(target) : [];
  await carryOut(bench, context, [...closing, attachStep(target)], facts);
  const { loops, image } = await bench.observe();
  const device = loops[0]?.device ?? '';
  const { credential, kdf } = input;
  const begun = { ...record, reencrypting: true } as const;
  await store.save(begun);
  const write = async () => {
    // Put back later, the old header would make noise of every block that is written anew.
    await system.remove(target.paths.headerBackup);
    if (phase === 'under way') await system.run(luksReencryptRecover(device, credential));
    const command =
      phase === 'under way' ? luksReencryptResume(device, credential) : luksReencrypt(device, credential, kdf);
    await followed(command, image?.sizeBytes ?? 0, context);
  };
  try {
    if (phase !== 'written') await reportedStep(context, STEP, write);
  } catch (error) {
    await undo(context, 'the header backup', (lasting) => backUpUnlessBegun(lasting, begun, target, credential));
    throw error;
  } finally {
    await context.undoing.run({ ...detachLoop(device), allow: [1] });
  }
  await returnToSlot(system, target, input);
  await renewHeaderBackup(system, target, credential);
  const { reencrypting: _, ...ready } = begun;
  await store.save({ ...ready, masterKey: 'own' });
  return ended(bench, context, true);
}

/** "under way": some of its blocks are written anew; "written": all are, and the slots are still to be put in order. */
type Phase = 'to begin' | 'under way' | 'written';

async function phaseNow(
  system: System,
  { reencrypting }: Pick<RepoRecord, 'reencrypting'>,
  target: RepoTarget,
  credential: Secret,
): Promise<Phase> {
  if (await isUnderWay(system, target)) return 'under way';
  if (!reencrypting) return 'to begin';
  for (const slot of await dataSlots(system, target)) {
    if (slot !== CREDENTIAL_SLOT && (await opens(system, target, credential, slot))) return 'written';
  }
  return 'to begin';
}

/** cryptsetup may have refused before it changed anything. */
async function backUpUnlessBegun(
  system: System,
  record: Pick<RepoRecord, 'reencrypting'>,
  target: RepoTarget,
  credential: Secret,
): Promise<void> {
  const phase = await phaseNow(system, record, target, credential);
  if (phase === 'to begin') await renewHeaderBackup(system, target, credential);
}

/** Throws where it cannot begin, or go on. */
async function phaseOf(
  { record, target, observe }: Workbench,
  { credential }: InputOf<'repo.reencrypt'>,
  { system }: RunContext,
): Promise<Phase> {
  const { name, datastore } = target;
  const facts = await observe();
  if (facts.mounted || facts.mapping !== undefined) {
    throw new RdcError('VOLUME_IN_USE', `repository "${name}" is open: it is encrypted anew only while it is closed`, {
      hint: `rdc repo down ${name} --unmount`,
    });
  }
  if (!(await opens(system, target, credential))) {
    throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${name}"`);
  }
  const phase = await phaseNow(system, record, target, credential);
  if (phase !== 'to begin') return phase;
  if ((await dataSlots(system, target)).length > 1) {
    throw new RdcError('FAILED', `"${name}" has more than one key: a new master key would know this one only`, {
      hint: `rdc repo autostart disable ${name}`,
    });
  }
  const free = await freeBytes(system, datastore);
  const needed = facts.image?.sizeBytes ?? 0;
  if (free >= needed) return phase;
  throw new RdcError(
    'NO_SPACE',
    `encrypted anew "${name}" shares no block any more and takes ${formatSize(needed)}: ${formatSize(free)} are free on ${datastore}`,
  );
}

/** Noted in the header (LUKS2 On-Disk Format Specification, "requirements"). */
export async function isUnderWay(system: System, { paths }: RepoTarget): Promise<boolean> {
  return (await system.run(luksMetadata(paths.image))).stdout.includes('"online-reencrypt');
}

/** cryptsetup puts the new key where there is room. */
async function returnToSlot(
  system: System,
  target: RepoTarget,
  { credential, kdf }: InputOf<'repo.reencrypt'>,
): Promise<void> {
  if (!(await opens(system, target, credential, CREDENTIAL_SLOT))) {
    await system.run(luksAddKey(target.paths.image, credential, credential, CREDENTIAL_SLOT, kdf));
    await mustOpen(system, target, credential, CREDENTIAL_SLOT);
  }
  for (const slot of await usedSlots(system, target)) {
    if (slot !== CREDENTIAL_SLOT) await freeSlot(system, target, slot, credential);
  }
}

/** cryptsetup tells how far it is as "Progress:  86.5%, ETA …". */
async function followed(command: Command, total: number, { system, report }: RunContext): Promise<void> {
  await system.run(command, (_, chunk) => {
    const percent = [...chunk.toString().matchAll(/Progress:\s+(\d+(?:\.\d+)?)%/g)].at(-1)?.[1];
    if (percent === undefined) return;
    report({ kind: 'progress', id: STEP.id, done: Math.round((total * Number(percent)) / 100), total, unit: 'bytes' });
  });
}

function ended(bench: Workbench, { dryRun }: RunContext, changed: boolean): Finished<OutputOf<'repo.reencrypt'>> {
  return dryRun ? { outcome: 'planned' } : { outcome: 'done', output: { ...identity(bench), changed } };
}
