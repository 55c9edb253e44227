// repo restore-header: puts the header backup back over a header that no longer opens. Nothing is overwritten before the
// backup was seen to open the data itself.
import { command } from '../lifecycle/command.ts';
import type { RepoFacts } from '../lifecycle/facts.ts';
import { CREDENTIAL_SLOT, luksHeaderRestore, luksMetadata } from '../lifecycle/luks.ts';
import { isMemoryHard } from '../lifecycle/luks-metadata.ts';
import { converge, planSteps } from '../lifecycle/run-plan.ts';
import type { Step } from '../lifecycle/step.ts';
import { run } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { closeVolumeSteps, type Key, openVolumeSteps } from '../lifecycle/volume.ts';
import { isCode, RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Secret } from '../protocol/secret.ts';
import type { Finished, RunContext } from './handlers.ts';
import { opens, opensBackup } from './key-slots.ts';
import { MEMORY_HARD_LOCK } from './layout.ts';
import { observeHeaderBackup } from './observe-header-backup.ts';
import { identity, keyFor } from './repo-volume.ts';
import { carryOut, closeQuietly, openWorkbench, type Workbench } from './repo-workbench.ts';
import { undo } from './undo.ts';

interface HeaderFacts {
  /** The credential opens the data by the image's own header. */
  isIntact: boolean;
}

/** Throws VOLUME_IN_USE where it is open, WRONG_CREDENTIAL where the backup does not know the credential. */
export async function restoreHeader(
  input: InputOf<'repo.restore-header'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.restore-header'>>> {
  const { system, dryRun } = context;
  const bench = await openWorkbench(context, input.repo);
  const { target } = bench;
  const { name } = bench.record;
  refuseOpen(await bench.observe(), name);
  if (await needsNothing(bench, context, input.credential)) {
    return dryRun ? { outcome: 'planned' } : { outcome: 'done', output: { ...identity(bench), changed: false } };
  }
  await refuseUselessBackup(system, target, input.credential);
  const observe = async () => ({ isIntact: await isIntact(system, target, input.credential) });
  const restoring = [restoreStep(target)];
  if (dryRun) {
    context.report({ kind: 'plan', steps: planSteps(restoring, await observe()) });
    return { outcome: 'planned' };
  }
  if (!(await holdsData(bench, context, await backupKey(system, target, input.credential)))) throw useless(target);
  await converge(restoring, { system, report: context.report, observe });
  return { outcome: 'done', output: { ...identity(bench), changed: true } };
}

function refuseOpen({ mounted, units, image }: RepoFacts, name: string): void {
  if (image === undefined) throw new RdcError('VOLUME_DAMAGED', `the image of repository "${name}" is gone`);
  if (!mounted && units.volume.active !== 'active') return;
  throw new RdcError('VOLUME_IN_USE', `repository "${name}" is open: its header is not touched`, {
    hint: `copy its data out while it is open, then: rdc repo down ${name} --unmount`,
  });
}

/** Where header and backup do not belong together, as after a luksFormat, the header's own data are looked at, but for a plan. */
async function needsNothing(bench: Workbench, context: RunContext, credential: Secret): Promise<boolean> {
  const { target } = bench;
  const { system, dryRun } = context;
  if (!(await opensItself(system, target, credential))) return false;
  if ((await observeHeaderBackup(system, target.paths)) !== 'foreign') return true;
  return !dryRun && (await holdsData(bench, context, await keyFor(bench, system, credential)));
}

async function isIntact(system: System, target: RepoTarget, credential: Secret): Promise<boolean> {
  return (
    (await opensItself(system, target, credential)) && (await observeHeaderBackup(system, target.paths)) !== 'foreign'
  );
}

async function opensItself(system: System, target: RepoTarget, credential: Secret): Promise<boolean> {
  try {
    return await opens(system, target, credential);
  } catch (error) {
    if (isCode(error, 'VOLUME_DAMAGED')) return false;
    throw error;
  }
}

async function refuseUselessBackup(system: System, target: RepoTarget, credential: Secret): Promise<void> {
  const { name, paths } = target;
  if ((await system.stat(paths.headerBackup))?.kind !== 'file') {
    throw new RdcError('VOLUME_DAMAGED', `there is no backup of the header of repository "${name}"`, {
      hint: `put one back as ${paths.headerBackup}`,
    });
  }
  if (await opensBackup(system, target, credential)) return;
  throw new RdcError(
    'WRONG_CREDENTIAL',
    `the credential opens neither repository "${name}" nor the backup of its header`,
  );
}

async function backupKey(system: System, { paths }: RepoTarget, credential: Secret): Promise<Key> {
  const { stdout } = await system.run(luksMetadata(paths.headerBackup));
  const lock = isMemoryHard(stdout, CREDENTIAL_SLOT) ? { lockFile: MEMORY_HARD_LOCK } : {};
  return { credential, header: paths.headerBackup, ...lock };
}

/** Opens the volume for a look, and closes it again: by the header of the key, or the image's own. */
async function holdsData(bench: Workbench, context: RunContext, key: Key | undefined): Promise<boolean> {
  const { target } = bench;
  const { system } = context;
  // What an attempt that was cut off may have left open.
  await carryOut(bench, context, closeVolumeSteps(target));
  let holds: boolean;
  try {
    await carryOut(bench, context, openVolumeSteps(target, key));
    holds = await holdsFilesystem(system, target);
  } catch (error) {
    await undo(context, 'the trial of the header', (lasting) => closeQuietly(lasting, bench));
    throw error;
  }
  await closeQuietly(system, bench);
  return holds;
}

/** A header of another image, or of this one before it was encrypted anew, gives noise instead of a filesystem. */
async function holdsFilesystem(system: System, { paths }: RepoTarget): Promise<boolean> {
  const probe = command('blkid', '-p', '-s', 'TYPE', '-o', 'value', paths.mapperDevice);
  const { stdout } = await system.run({ ...probe, allow: [2] });
  return stdout.trim() === 'ext4';
}

function useless({ name }: RepoTarget): RdcError {
  return new RdcError(
    'VOLUME_DAMAGED',
    `the backup of the header does not open the data of repository "${name}": nothing was changed`,
  );
}

function restoreStep({ paths }: RepoTarget): Step<HeaderFacts> {
  return {
    id: 'header.restore',
    title: 'put the header back',
    already: 'the header opens the volume',
    isDone: ({ isIntact }) => isIntact,
    actions: () => [run(luksHeaderRestore(paths.image, paths.headerBackup))],
  };
}
