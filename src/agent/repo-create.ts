// repo create: claims name and network id in a record, makes the volume, closes it again. Whatever fails, nothing of
// the new repository stays on the machine.
import pLimit from 'p-limit';
import { command } from '../lifecycle/command.ts';
import type { CreateFacts } from '../lifecycle/create-plan.ts';
import { filesystemStep, formatSteps, refuseWithoutSpace } from '../lifecycle/create-plan.ts';
import { isLuks2 } from '../lifecycle/luks.ts';
import { converge, planSteps } from '../lifecycle/run-plan.ts';
import type { Step } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { closeVolumeSteps, openVolumeSteps } from '../lifecycle/volume.ts';
import { allocateLinkIndex, allocateNetworkId } from '../network/allocate.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Finished, RunContext } from './handlers.ts';
import { opens } from './key-slots.ts';
import { repoPaths } from './layout.ts';
import { requireMachine } from './machine-record.ts';
import { observeNetworkUse } from './network-use.ts';
import { createRepoStore, type RepoRecord, type RepoStore } from './repo-store.ts';
import type { Workbench } from './repo-workbench.ts';
import { workbenchOf } from './repo-workbench.ts';

type Input = InputOf<'repo.create'>;

export function createCreateHandler(): (
  input: Input,
  context: RunContext,
) => Promise<Finished<OutputOf<'repo.create'>>> {
  // Two creates at once must not see the same free id: allocation and claim are one turn.
  const oneAtATime = pLimit(1);

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

    refuseWithoutSpace(
      { name: input.name, datastore: machine.datastore },
      input,
      await freeBytes(system, machine.datastore),
    );
    const record = await oneAtATime(async () => {
      const claimed = await newRecord(system, store, input);
      if (!dryRun) await store.save(claimed);
      return claimed;
    });
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

/** The finished repository of the same GUID, if the same request came before. Half-made ones of this name are cleared away. */
async function refuseTakenName(store: RepoStore, { name, guid }: Input): Promise<RepoRecord | undefined> {
  const records = await store.list();
  const same = records.find((record) => record.guid === guid && record.state === 'ready');
  if (same !== undefined) return same;
  if (records.some((record) => record.name === name && record.state === 'ready')) {
    throw new RdcError('ALREADY_EXISTS', `there is a repository "${name}" on this machine already`, {
      hint: `rdc repo status ${name}`,
    });
  }
  return undefined;
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

/** An image outlives its record only where that was lost: it may hold data, so it is neither made anew nor rolled back. */
async function refuseUnknownImage(
  system: System,
  store: RepoStore,
  datastore: string,
  { name, guid }: Input,
): Promise<void> {
  const { image, record } = repoPaths(datastore, guid);
  if ((await system.stat(image)) === undefined) return;
  if ((await store.list()).some((known) => known.guid === guid)) return;
  throw new RdcError('ALREADY_EXISTS', `there is an image ${image} for "${name}" already, and no record of it`, {
    hint: `put back ${record}, or move the image away`,
  });
}

async function newRecord(system: System, store: RepoStore, { name, guid }: Input): Promise<RepoRecord> {
  const use = await observeNetworkUse(system, store);
  return {
    version: 1,
    guid,
    name,
    networkId: allocateNetworkId(use),
    linkIndex: allocateLinkIndex(use.links),
    filesystem: 'ext4',
    state: 'creating',
    autostart: false,
    createdAt: Date.now(),
  };
}

async function makeVolume(input: Input, { system, report }: RunContext, bench: Workbench): Promise<void> {
  const { target, store, record } = bench;
  const opening = openVolumeSteps(target, { credential: input.credential }) as Step<CreateFacts>[];
  const closing = closeVolumeSteps(target) as Step<CreateFacts>[];
  const run = { system, report, observe: () => observeNew(system, bench) };
  try {
    await clearHalfMade(system, bench, input.name);
    await converge([...formatSteps(target, input), ...opening, filesystemStep(target), ...closing], run);
    await store.save({ ...record, state: 'ready' });
  } catch (error) {
    await converge(closing, { ...run, report: () => undefined });
    await removeTraces(system, bench);
    await store.remove(record.guid);
    throw error;
  }
}

/** Records of this name that never got ready: their run is over (we hold the name's lock), nobody has their key. */
async function clearHalfMade(system: System, { store, machine, record }: Workbench, name: string): Promise<void> {
  for (const other of await store.list()) {
    if (other.name !== name || other.state === 'ready' || other.guid === record.guid) continue;
    const bench = await workbenchOf(system, machine, store, other);
    const run = { system, report: () => undefined, observe: () => observeNew(system, bench) };
    await converge(closeVolumeSteps(bench.target) as Step<CreateFacts>[], run);
    await removeTraces(system, bench);
    await store.remove(other.guid);
  }
}

async function removeTraces(system: System, { target }: Workbench): Promise<void> {
  await system.remove(target.paths.image);
  await system.remove(target.paths.headerBackup);
}

async function observeNew(system: System, bench: Workbench): Promise<CreateFacts> {
  const { paths } = bench.target;
  const facts = await bench.observe();
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

/** Free to root on the filesystem of the datastore (statfs(2) f_bavail × f_frsize). */
export async function freeBytes(system: System, datastore: string): Promise<number> {
  const { stdout } = await system.run(command('stat', '--file-system', '--format=%a %S', datastore));
  const [blocks = 0, size = 0] = stdout.trim().split(' ').map(Number);
  return blocks * size;
}
