// repo create: claims name and network id in a record, makes the volume, closes it again. Whatever fails, nothing of
// the new repository stays on the machine. One that was cut off goes on under its record: same GUID, same network id.
import { command } from '../lifecycle/command.ts';
import type { CreateFacts } from '../lifecycle/create-plan.ts';
import { filesystemStep, formatSteps, refuseCopyOnWrite } from '../lifecycle/create-plan.ts';
import { isLuks2 } from '../lifecycle/luks.ts';
import { converge, planSteps, type Since } from '../lifecycle/run-plan.ts';
import type { Step } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { closeVolumeSteps, openVolumeSteps } from '../lifecycle/volume.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Finished, RunContext } from './handlers.ts';
import { observeDisk } from './host-facts.ts';
import { opens } from './key-slots.ts';
import { requireMachine } from './machine-record.ts';
import {
  type Claim,
  clearHalfMade,
  createClaim,
  discardHalfMade,
  discardVolume,
  refuseTakenName,
  refuseUnknownImage,
} from './new-repo.ts';
import { createRepoStore } from './repo-store.ts';
import type { Workbench } from './repo-workbench.ts';
import { workbenchOf } from './repo-workbench.ts';
import { undo } from './undo.ts';

type Input = InputOf<'repo.create'>;

export function createCreateHandler(
  claim: Claim = createClaim(),
): (input: Input, context: RunContext) => Promise<Finished<OutputOf<'repo.create'>>> {
  return async (input, context) => {
    const { system, dryRun } = context;
    const machine = await requireMachine(system);
    const store = createRepoStore(system, machine.datastore);
    const existing = await refuseTakenName(store, input);
    if (existing !== undefined) {
      await refuseOtherCredential(await workbenchOf(system, machine, store, existing), context, input);
      return { outcome: 'done', output: { ...existing, state: 'closed', changed: false } };
    }
    await refuseUnknownImage(system, store, machine.datastore, input);

    if (input.preallocate) {
      const { filesystem } = await observeDisk(system, machine.datastore);
      refuseCopyOnWrite({ name: input.name, datastore: machine.datastore }, filesystem);
    }
    // First, or the new one could not have their network id.
    if (!dryRun) await clearHalfMade(system, { store, machine }, input.name, input.guid);
    const record = await claim({ system, store, dryRun }, input, input.preallocate ? { preallocated: true } : {});
    const bench = await workbenchOf(system, machine, store, record);
    if (dryRun) {
      const steps = planSteps(
        [...formatSteps(bench.target, input), { ...filesystemStep(bench.target) }],
        await observeNew(system, bench),
      );
      context.report({ kind: 'plan', steps });
      return { outcome: 'planned' };
    }
    await makeVolume(input, context, bench);
    const { name, guid, networkId } = record;
    return { outcome: 'done', output: { name, guid, networkId, state: 'closed', changed: true } };
  };
}

/** It exists by now, and whoever repeats the create with another credential would believe that this one is its key. */
async function refuseOtherCredential(
  { target }: Workbench,
  { system }: RunContext,
  { name, credential }: Input,
): Promise<void> {
  if (await opens(system, target, credential)) return;
  throw new RdcError('WRONG_CREDENTIAL', `repository "${name}" exists, and this credential does not open it`);
}

async function makeVolume(input: Input, context: RunContext, bench: Workbench): Promise<void> {
  const { system, undoing, report } = context;
  const { target, store, record } = bench;
  const opening = openVolumeSteps(target, { credential: input.credential }) as Step<CreateFacts>[];
  const closing = closeVolumeSteps(target) as Step<CreateFacts>[];
  const run = { system, undoing, report, observe: (since?: Since<CreateFacts>) => observeNew(system, bench, since) };
  try {
    // Of an attempt that was cut off: the size or the key may have been another, the header half written.
    const left = await Promise.all([target.paths.image, target.paths.headerBackup].map((path) => system.stat(path)));
    if (left.some((file) => file !== undefined)) await discardVolume(system, bench);
    await converge([...formatSteps(target, input), ...opening, filesystemStep(target), ...closing], run);
    await store.save({ ...record, state: 'ready' });
  } catch (error) {
    await undo(context, 'the half-made repository', (lasting) => discardHalfMade(lasting, bench));
    throw error;
  }
}

async function observeNew(system: System, bench: Workbench, since?: Since<CreateFacts>): Promise<CreateFacts> {
  const { paths } = bench.target;
  const facts = await bench.observe(since);
  const formatted = facts.image !== undefined && (await system.run(isLuks2(paths.image))).exitCode === 0;
  const hasFilesystem =
    facts.mapping !== undefined &&
    (
      await system.run({ ...command('blkid', '-p', '-s', 'TYPE', '-o', 'value', paths.mapperDevice), allow: [2] })
    ).stdout.trim() === 'ext4';
  const headerBackedUp = (await system.stat(paths.headerBackup)) !== undefined;
  return {
    ...facts,
    formatted,
    hasFilesystem,
    headerBackedUp,
    freeBytes: await freeBytes(system, bench.target.datastore),
  };
}

/** On the filesystem of the datastore, to everybody: what it keeps for root is kept. */
export async function freeBytes(system: System, datastore: string): Promise<number> {
  return (await system.space(datastore))?.freeBytes ?? 0;
}
