// repo mount and repo unmount, and the shared halves of up and down: opening with whatever key there is, closing with
// proof.

import { CREDENTIAL_SLOT, luksMetadata } from '../lifecycle/luks.ts';
import { isMemoryHard } from '../lifecycle/luks-metadata.ts';
import { refuseSecondOpening } from '../lifecycle/openings.ts';
import { stopDaemonSteps } from '../lifecycle/services-plan.ts';
import { declareSteps, forgetStep } from '../lifecycle/units.ts';
import { closeVolumeSteps, type Key, mountVolumeSteps, openVolumeSteps } from '../lifecycle/volume.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Secret } from '../protocol/secret.ts';
import { exactSize } from '../protocol/size.ts';
import type { Finished, RunContext } from './handlers.ts';
import { explainClosing, planRelease, releaseVolume } from './held-volume.ts';
import { MEMORY_HARD_LOCK } from './layout.ts';
import { type Opening, openVolume, refuseWithoutRoom } from './open-volume.ts';
import { repairHeaderBackup } from './repair-header-backup.ts';
import { carryOut, openWorkbench, type Workbench } from './repo-workbench.ts';
import { setReserveAside } from './volume-space.ts';

export async function mountRepo(
  input: InputOf<'repo.mount'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.mount'>>> {
  const bench = await openWorkbench(context, input.repo);
  const opening = await openSteps(bench, context, { credential: input.credential });
  const changed = await openVolume(bench, context, opening);
  if (context.dryRun) return { outcome: 'planned' };
  await setReserveAside(bench, context);
  if (input.credential !== undefined) await repairHeaderBackup(bench, context, input.credential, opening);
  return { outcome: 'done', output: { ...identity(bench), state: 'mounted', changed } };
}

export async function unmountRepo(
  input: InputOf<'repo.unmount'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.unmount'>>> {
  const bench = await openWorkbench(context, input.repo);
  const facts = await bench.observe();
  if (facts.needsDown && facts.units.docker.active === 'active') {
    throw new RdcError(
      'VOLUME_IN_USE',
      `the services of "${bench.record.name}" were started and not ended by its down()`,
      {
        hint: `rdc repo down ${bench.record.name} --unmount`,
      },
    );
  }
  const changed = await close(bench, context, input.force);
  return context.dryRun
    ? { outcome: 'planned' }
    : { outcome: 'done', output: { ...identity(bench), state: 'closed', changed } };
}

export function identity({ record }: Workbench): Pick<OutputOf<'repo.mount'>, 'name' | 'guid'> {
  return { name: record.name, guid: record.guid };
}

export interface OpenFor {
  credential?: Secret | undefined;
  /** Something will be deleted in it: needs no room. */
  toDelete?: boolean;
  /** Services will be started in it, which write: needs room also where it is open. */
  toStart?: boolean;
}

/**
 * Up to a mounted volume under its unit. Throws CREDENTIAL_MISSING before anything is touched when no key is at hand, and NO_SPACE
 * on a full datastore, unless it is opened so that something can be deleted in it.
 */
export async function openSteps(
  bench: Workbench,
  { system }: RunContext,
  { credential, toDelete = false, toStart = false }: OpenFor,
): Promise<Opening> {
  await refuseSecondOpening(system, bench.target);
  const key = await keyFor(bench, system, credential);
  const facts = await bench.observe();
  if (!facts.mounted) refuseHalfResized(bench);
  const isWriter = !facts.mounted || (toStart && facts.units.docker.active !== 'active');
  if (isWriter && !toDelete) await refuseWithoutRoom(bench, system);
  if (key === undefined && facts.mapping === undefined) throw credentialMissing(bench);
  return {
    wasOpen: facts.mapping !== undefined,
    open: openVolumeSteps(bench.target, key),
    mount: mountVolumeSteps(bench.target, declareSteps(bench.target, bench.files)),
  };
}

export function credentialMissing({ record }: Workbench): RdcError {
  return new RdcError('CREDENTIAL_MISSING', `repository "${record.name}" is closed and no credential for it is known`, {
    hint: `rdc repo credential add ${record.name}`,
  });
}

/** Until it is finished by the same command, nothing is made of what may be half moved. */
export function refuseHalfResized({ record: { name, resize } }: Workbench): void {
  if (!resize?.offline) return;
  throw new RdcError('FAILED', `a resize of "${name}" was cut off: its filesystem may be half moved`, {
    hint: `rdc repo resize ${name} --size ${exactSize(resize.sizeBytes)}`,
  });
}

export async function keyFor(
  { target }: Workbench,
  system: RunContext['system'],
  credential: Secret | undefined,
): Promise<Key | undefined> {
  if (credential !== undefined) {
    // An image that is none has no slots: the step itself says what is wrong with it.
    const { exitCode, stdout } = await system.run({ ...luksMetadata(target.paths.image), allow: [1, 4] });
    const isGated = exitCode === 0 && isMemoryHard(stdout, CREDENTIAL_SLOT);
    return isGated ? { credential, lockFile: MEMORY_HARD_LOCK } : { credential };
  }
  return (await system.stat(target.paths.keyFile)) === undefined ? undefined : { keyFile: target.paths.keyFile };
}

/** Daemon, namespace, volume, runtime files. Before the unmount every namespace is asked whether it holds the volume; with `force` who does is ended. */
export async function close(bench: Workbench, context: RunContext, force = false): Promise<boolean> {
  const stopping = stopDaemonSteps(bench.target);
  const closing = [...closeVolumeSteps(bench.target), forgetStep(bench.target, bench.files)];
  if (context.dryRun) {
    await planRelease(bench, context, force);
    return carryOut(bench, context, [...stopping, ...closing]);
  }
  const stopped = await carryOut(bench, context, stopping);
  await releaseVolume(bench, context, force);
  const closed = await carryOut(bench, context, closing).catch((error) => explainClosing(bench, context, error));
  return stopped || closed;
}
