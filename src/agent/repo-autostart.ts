// repo autostart: a key of the machine's own for one repository, in LUKS slot 1 and in a file for root alone. The file is
// whole and on disk before the slot is added, and the slot is gone before the file: a crash leaves a file that opens
// nothing, never a slot whose key is lost.
import { command } from '../lifecycle/command.ts';
import { CREDENTIAL_SLOT, luksMetadata } from '../lifecycle/luks.ts';
import { KEYFILE_SLOT, luksAddKeyFile, luksTestKeyFile, mayBeOurs } from '../lifecycle/luks-key-file.ts';
import { refuseSecondOpening } from '../lifecycle/openings.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoPaths, RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Secret } from '../protocol/secret.ts';
import type { Finished, RunContext } from './handlers.ts';
import { freeSlot, opens, renewHeaderBackup, usedSlots } from './key-slots.ts';
import { keyFileDraft } from './layout.ts';
import { identity } from './repo-volume.ts';
import { openWorkbench, type Workbench } from './repo-workbench.ts';
import { undo } from './undo.ts';

type Output = OutputOf<'repo.autostart-enable'>;

export async function enableAutostart(
  { repo, credential }: InputOf<'repo.autostart-enable'>,
  context: RunContext,
): Promise<Finished<Output>> {
  const bench = await openWorkbench(context, repo);
  const { record, target } = bench;
  const { system } = context;
  await refuseSecondOpening(system, target);
  await requireCredential(bench, system, credential);
  const keyFits = await fits(system, target);
  if (keyFits && record.autostart) return ended(bench, context, false);
  if (!keyFits) await refuseForeignSlot(bench, system);
  if (context.dryRun) return planned(context, 'give the machine a key of its own, in LUKS slot 1');
  // A key that fits without the mark is of an enable that was cut off, perhaps before the backup knew of it.
  await (keyFits ? renewHeaderBackup(system, target, credential) : giveKey(context, target, credential));
  await bench.store.save({ ...record, autostart: true });
  return ended(bench, context, true);
}

export async function disableAutostart(
  { repo, credential }: InputOf<'repo.autostart-disable'>,
  context: RunContext,
): Promise<Finished<Output>> {
  const bench = await openWorkbench(context, repo);
  const { record, target } = bench;
  const { system } = context;
  const hasFile = (await system.stat(target.paths.keyFile)) !== undefined;
  if (!record.autostart && !hasFile) return ended(bench, context, false);
  // What remains must open: or the last key would go.
  await requireCredential(bench, system, credential);
  if (context.dryRun) return planned(context, "remove the machine's key, in LUKS slot 1 and on its disk");
  // A file that opens nothing may be left from before; the slot is then somebody else's.
  const isOurs = (await fits(system, target)) || (record.autostart && (await mayHoldOurs(system, target)));
  if (isOurs) await freeSlot(system, target, KEYFILE_SLOT, credential);
  await system.remove(target.paths.keyFile);
  await renewHeaderBackup(system, target, credential);
  await bench.store.save({ ...record, autostart: false });
  return ended(bench, context, true);
}

/** A restored or replaced image does not know the key any more: whoever has the credential gives it again. True when it had to. */
export async function repairAutostart(bench: Workbench, context: RunContext, credential: Secret): Promise<boolean> {
  const { record, target } = bench;
  if (!record.autostart || (await fits(context.system, target))) return false;
  if (!(await mayHoldOurs(context.system, target))) {
    const { message, hint } = foreignSlot(target);
    context.report({ kind: 'warning', message: `"${record.name}" does not start at boot: ${message}`, hint });
    return false;
  }
  await giveKey(context, target, credential);
  context.report({
    kind: 'warning',
    message: `the key for the start of "${record.name}" at boot did not fit and was renewed`,
  });
  return true;
}

async function requireCredential({ record, target }: Workbench, system: System, credential: Secret): Promise<void> {
  if (await opens(system, target, credential, CREDENTIAL_SLOT)) return;
  throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${record.name}"`, {
    hint: `rdc repo credential add ${record.name}`,
  });
}

async function fits(system: System, { paths }: RepoTarget): Promise<boolean> {
  if ((await system.stat(paths.keyFile)) === undefined) return false;
  const { exitCode } = await system.run(luksTestKeyFile(paths.image, paths.keyFile));
  return exitCode === 0;
}

/** What we have not put there we do not wipe. */
async function refuseForeignSlot({ record, target }: Workbench, system: System): Promise<void> {
  // One that we have marked may have a key of ours from an earlier state of its image.
  const isFree = record.autostart ? mayHoldOurs(system, target) : holdsNothing(system, target);
  if (!(await isFree)) throw foreignSlot(target);
}

async function holdsNothing(system: System, target: RepoTarget): Promise<boolean> {
  return !(await usedSlots(system, target)).includes(KEYFILE_SLOT);
}

async function mayHoldOurs(system: System, { paths }: RepoTarget): Promise<boolean> {
  return mayBeOurs((await system.run(luksMetadata(paths.image))).stdout);
}

function foreignSlot({ name, paths }: RepoTarget): RdcError {
  return new RdcError('FAILED', `LUKS slot ${KEYFILE_SLOT} of "${name}" holds a key that is not ours`, {
    hint: `if nobody needs it, on the server: cryptsetup luksKillSlot ${paths.image} ${KEYFILE_SLOT}`,
  });
}

async function giveKey(context: RunContext, target: RepoTarget, credential: Secret): Promise<void> {
  const { system } = context;
  const { image, keyFile } = target.paths;
  try {
    await freeSlot(system, target, KEYFILE_SLOT, credential);
    await writeKeyFile(system, target.paths);
    await system.run(luksAddKeyFile(image, credential, keyFile));
    if (!(await fits(system, target))) {
      throw new RdcError('STEP_NOT_VERIFIED', `the new key of "${target.name}" does not open slot ${KEYFILE_SLOT}`);
    }
    await renewHeaderBackup(system, target, credential);
  } catch (error) {
    await undo(context, 'the key for the start at boot', async (lasting) => {
      await freeSlot(lasting, target, KEYFILE_SLOT, credential);
      for (const path of [keyFile, keyFileDraft(target.paths)]) await lasting.remove(path);
      // The key may be in it already.
      await renewHeaderBackup(lasting, target, credential);
    });
    throw error;
  }
}

/** 256 random bytes, whole on disk under another name first. */
async function writeKeyFile(system: System, { keyFile }: RepoPaths): Promise<void> {
  const draft = keyFileDraft({ keyFile });
  const directory = keyFile.slice(0, keyFile.lastIndexOf('/'));
  await system.makeDirectory(directory, 0o700);
  await system.run(command('install', '--mode=0600', '/dev/null', draft));
  const copy = ['if=/dev/urandom', `of=${draft}`, 'bs=256', 'count=1', 'iflag=fullblock', 'conv=notrunc,fsync'];
  await system.run(command('dd', 'status=none', ...copy));
  await system.run(command('mv', '--no-target-directory', draft, keyFile));
  await system.run(command('sync', directory));
}

function planned(context: RunContext, title: string): Finished<Output> {
  context.report({ kind: 'plan', steps: [{ id: 'autostart.key', title, expect: 'change' }] });
  return { outcome: 'planned' };
}

function ended(bench: Workbench, { dryRun }: RunContext, changed: boolean): Finished<Output> {
  return dryRun ? { outcome: 'planned' } : { outcome: 'done', output: { ...identity(bench), changed } };
}
