// repo resize: which of the ways there are is taken, and the note that lets a resize that was cut off be finished by the same
// command. The credential is in the request only.
import { ext4Superblock, parseExt4, parseSmallest, smallestExt4 } from '../lifecycle/ext4.ts';
import type { RepoFacts } from '../lifecycle/facts.ts';
import { luksMetadata } from '../lifecycle/luks.ts';
import { headerBytes } from '../lifecycle/luks-metadata.ts';
import { refuseSecondOpening } from '../lifecycle/openings.ts';
import {
  awaitResizeStep,
  checkFilesystemStep,
  growImageStep,
  growOnlineSteps,
  type ResizeFacts,
  refuseBelowSmallest,
  refuseGrowthWithoutSpace,
  refuseShrinkWhileOpen,
  resizeFilesystemStep,
  shrinkImageStep,
} from '../lifecycle/resize-plan.ts';
import { converge, planSteps, type Since } from '../lifecycle/run-plan.ts';
import { type Room, refuseShrinkWithoutRoom } from '../lifecycle/space-floors.ts';
import type { Step } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { closeVolumeSteps, isClosed, type Key, openVolumeSteps } from '../lifecycle/volume.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import type { Finished, RunContext } from './handlers.ts';
import { releaseVolume } from './held-volume.ts';
import { opens } from './key-slots.ts';
import { replayRoom } from './open-volume.ts';
import { freeBytes } from './repo-create.ts';
import { stateOf } from './repo-queries.ts';
import { isUnderWay } from './repo-reencrypt.ts';
import { credentialMissing, identity, keyFor } from './repo-volume.ts';
import { closeQuietly, openWorkbench, type Workbench } from './repo-workbench.ts';
import { resizeUnit } from './resize-unit.ts';
import { undo } from './undo.ts';

type Input = InputOf<'repo.resize'>;
type Output = OutputOf<'repo.resize'>;

export async function resizeRepo(input: Input, context: RunContext): Promise<Finished<Output>> {
  const bench = await openWorkbench(context, input.repo);
  const facts = await bench.observe();
  const { image } = facts;
  if (image === undefined) {
    throw new RdcError('VOLUME_DAMAGED', `the image of repository "${bench.record.name}" is gone`, {
      hint: `rdc repo status ${bench.record.name}`,
    });
  }
  const wanted = input.sizeBytes;
  const isOpen = facts.mounted || facts.units.docker.active === 'active';
  if (isOpen && wanted < image.sizeBytes) refuseShrinkWhileOpen(bench.target);
  refuseGrowthWithoutSpace(bench.target, image, wanted, await freeBytes(context.system, bench.target.datastore));

  if (bench.record.reencrypting) await refuseHalfReencrypted(bench, context.system);
  const isDone = !isOpen && wanted === image.sizeBytes && bench.record.resize === undefined;
  if (!isDone) await refuseSecondOpening(context.system, bench.target);
  const resize = isOpen ? growOnline : resizeOffline;
  const changed = isDone ? false : await resize(bench, context, { ...input, beforeBytes: image.sizeBytes });
  if (context.dryRun) return { outcome: 'planned' };
  const state = stateOf(await bench.observe(), bench.record.lastUp?.outcome);
  const sizes = { sizeBytes: wanted, beforeBytes: image.sizeBytes };
  return { outcome: 'done', output: { ...identity(bench), state, ...sizes, changed } };
}

/** Its header knows the size of what is encrypted anew. */
async function refuseHalfReencrypted({ record: { name }, target }: Workbench, system: System): Promise<void> {
  if (!(await isUnderWay(system, target))) return;
  throw new RdcError('FAILED', `encrypting "${name}" anew was cut off, and has to be finished before a resize`, {
    hint: `the same again: rdc repo fork PARENT --as ${name} --reencrypt`,
  });
}

type Wanted = Input & { beforeBytes: number };

async function growOnline(bench: Workbench, context: RunContext, { sizeBytes, credential }: Wanted): Promise<boolean> {
  const { system } = context;
  const key = await keyFor(bench, system, credential);
  const steps = growOnlineSteps(bench.target, sizeBytes, key);
  const facts = await observeResize(system, bench);
  const needsKey = facts.mappingBytes !== sizeBytes - facts.headerBytes;
  // Before anything is changed: planning the step itself refuses where there is no key.
  const plan = planSteps(steps, facts);
  if (needsKey) await refuseWrongKey(bench, system, key);
  if (context.dryRun) {
    context.report({ kind: 'plan', steps: plan });
    return false;
  }
  await note(bench, { sizeBytes, offline: false });
  const changed = await converge(steps, runOf(bench, context));
  await note(bench, undefined);
  return changed;
}

async function resizeOffline(bench: Workbench, context: RunContext, wanted: Wanted): Promise<boolean> {
  const { system } = context;
  const { sizeBytes } = wanted;
  const key = await keyFor(bench, system, wanted.credential);
  if (key === undefined) throw credentialMissing(bench);
  const room = await replayRoom(bench, system);
  const { before, work, after } = offlineSteps(bench, await bench.observe(), { ...wanted, key, room });
  if (context.dryRun) {
    const steps = planSteps([...before, ...work, ...after], await observeResize(system, bench));
    context.report({ kind: 'plan', steps });
    return false;
  }
  const run = runOf(bench, context);
  await refuseWrongKey(bench, system, key);
  await converge([awaitResizeStep()], run);
  await releaseVolume(bench, context, false);
  // A larger image is a good state; only from the moment that blocks are moved inside must it be finished before a mount.
  const isGrowing = sizeBytes > wanted.beforeBytes;
  if (isGrowing && bench.record.resize === undefined) await note(bench, { sizeBytes, offline: false });
  try {
    await converge(before, run);
    await refuseShrink(bench, context, sizeBytes);
    await note(bench, { sizeBytes, offline: true });
    await converge(work, run);
  } catch (error) {
    await undo(context, 'the opening', (lasting) => closeQuietly(lasting, bench));
    throw error;
  }
  await converge(after, run);
  await note(bench, undefined);
  return true;
}

/** Up to an open and checked volume; the filesystem's own size; closed again, and what is cut off then. */
function offlineSteps(
  bench: Workbench,
  facts: RepoFacts,
  { sizeBytes, beforeBytes, key, room }: Wanted & { key: Key; room: Room },
) {
  const { target } = bench;
  // What a crash left open was opened at another size.
  const closing = isClosed(facts) ? [] : (closeVolumeSteps(target) as Step<ResizeFacts>[]);
  return {
    before: [
      ...closing,
      ...(sizeBytes > beforeBytes ? [growImageStep(target, sizeBytes)] : []),
      ...(openVolumeSteps(target, key) as Step<ResizeFacts>[]),
      checkFilesystemStep(target, Date.now(), room),
    ],
    work: [resizeFilesystemStep(target, resizeUnit(bench.record), sizeBytes)],
    after: [
      ...(closeVolumeSteps(target) as Step<ResizeFacts>[]),
      ...(sizeBytes < beforeBytes ? [shrinkImageStep(target, sizeBytes)] : []),
    ],
  };
}

async function refuseWrongKey({ target }: Workbench, system: System, key: Key | undefined): Promise<void> {
  if (key === undefined || 'keyFile' in key || (await opens(system, target, key.credential))) return;
  throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${target.name}"`, {
    hint: `rdc repo credential add ${target.name}`,
  });
}

/** Of the open and checked volume: whether its files fit, and what is moved finds its room. */
async function refuseShrink(bench: Workbench, { system }: RunContext, wantedBytes: number): Promise<void> {
  const { filesystem, headerBytes: header, image } = await observeResize(system, bench);
  if (filesystem === undefined || filesystem.bytes <= wantedBytes - header) return;
  const { stdout } = await system.run(smallestExt4(bench.target.paths.mapperDevice));
  const smallestBytes = parseSmallest(stdout) * filesystem.blockBytes;
  refuseBelowSmallest(bench.target, { wantedBytes, smallestBytes, headerBytes: header });
  if (image !== undefined) {
    refuseShrinkWithoutRoom(bench.target, await replayRoom(bench, system), { image, wantedBytes });
  }
}

async function note({ store, record }: Workbench, resize: Workbench['record']['resize']): Promise<void> {
  await store.save({ ...record, resize });
}

function runOf(bench: Workbench, { system, undoing, report }: RunContext) {
  return { system, undoing, report, observe: (since?: Since<ResizeFacts>) => observeResize(system, bench, since) };
}

async function observeResize(system: System, bench: Workbench, since?: Since<ResizeFacts>): Promise<ResizeFacts> {
  const { paths } = bench.target;
  const facts = await bench.observe(since);
  const loop = facts.loops[0]?.device.slice('/dev/'.length);
  const unit = await system.stat(`/sys/fs/cgroup/system.slice/${resizeUnit(bench.record)}`);
  const [loopBytes, mappingBytes, metadata, superblock] = await Promise.all([
    deviceBytes(system, loop),
    deviceBytes(system, facts.mapping?.kernelName),
    system.run(luksMetadata(paths.image)),
    facts.mapping === undefined ? undefined : system.run(ext4Superblock(paths.mapperDevice)),
  ]);
  return {
    ...facts,
    loopBytes,
    mappingBytes,
    headerBytes: headerBytes(metadata.stdout),
    filesystem: superblock === undefined ? undefined : parseExt4(superblock.stdout),
    resizing: unit !== undefined,
  };
}

/** sysfs counts in sectors of 512 bytes, whatever the device's own are. */
async function deviceBytes(system: System, kernelName: string | undefined): Promise<number | undefined> {
  if (kernelName === undefined) return undefined;
  const text = await system.readFile(`/sys/block/${kernelName}/size`);
  return text === undefined ? undefined : Number(text) * 512;
}
