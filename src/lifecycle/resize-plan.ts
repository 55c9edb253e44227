// Another size for a repository. Growing an open one: outermost first, image to filesystem, while it is in use; every state
// on the way is a good one. A closed one is resized unmounted, in a safe order: the image grows before and shrinks after its
// filesystem, and it shrinks only once the volume is closed. Each step is seen in what is there, so whatever was cut off
// is continued.
import { RdcError } from '../protocol/errors.ts';
import { exactSize, formatSize } from '../protocol/size.ts';
import { command } from './command.ts';
import { hasItsBlocks, lengthen } from './create-plan.ts';
import { checkExt4, type Ext4, explainCheckFailure, fills, growExt4, resizeExt4Apart } from './ext4.ts';
import type { RepoFacts } from './facts.ts';
import { explainOpenFailure, isWrongKey, luksResize, oneAtATime, resizeLoop } from './luks.ts';
import { luksResizeWithKeyFile } from './luks-key-file.ts';
import { DATASTORE_FLOOR, type Room, refuseReplayWithoutRoom } from './space-floors.ts';
import type { Step } from './step.ts';
import { run } from './step.ts';
import type { RepoTarget } from './target.ts';
import type { Key } from './volume.ts';
import { isClosed, refuseForeignUse } from './volume.ts';

export interface ResizeFacts extends RepoFacts {
  /** Of the loop device and of the mapping, where there is one. */
  loopBytes: number | undefined;
  mappingBytes: number | undefined;
  /** Bytes of the image before the encrypted data. */
  headerBytes: number;
  /** Of the open volume. */
  filesystem: Ext4 | undefined;
  /** A resize2fs of an earlier run goes on. */
  resizing: boolean;
}

const MIB = 1024 ** 2;

/** What `create` refuses as well: an image that could not be filled today. */
export function refuseGrowthWithoutSpace(
  { name, datastore }: Pick<RepoTarget, 'name' | 'datastore'>,
  image: { sizeBytes: number; allocatedBytes: number },
  wantedBytes: number,
  freeBytes: number,
): void {
  const most = image.allocatedBytes + freeBytes - DATASTORE_FLOOR;
  if (wantedBytes <= Math.max(most, image.sizeBytes)) return;
  const possible = Math.floor(most / (64 * MIB)) * 64 * MIB;
  throw new RdcError(
    'NO_SPACE',
    `repository "${name}" cannot grow to ${formatSize(wantedBytes)}: ${formatSize(freeBytes)} are free on ${datastore}`,
    {
      hint:
        possible > image.sizeBytes
          ? `rdc repo resize ${name} --size ${exactSize(possible)}`
          : `free some space on ${datastore}, or give it a larger disk`,
    },
  );
}

export function refuseShrinkWhileOpen({ name }: Pick<RepoTarget, 'name'>): never {
  throw new RdcError('VOLUME_IN_USE', `repository "${name}" is open: a filesystem becomes smaller only while closed`, {
    hint: `rdc repo down ${name} --unmount`,
  });
}

/** `smallestBytes`: of the filesystem, as resize2fs estimates it. */
export function refuseBelowSmallest(
  { name }: Pick<RepoTarget, 'name'>,
  { wantedBytes, smallestBytes, headerBytes }: { wantedBytes: number; smallestBytes: number; headerBytes: number },
): void {
  if (wantedBytes - headerBytes >= smallestBytes) return;
  const least = Math.ceil((smallestBytes + headerBytes) / MIB) * MIB;
  throw new RdcError(
    'INVALID_INPUT',
    `repository "${name}" cannot become smaller than ${exactSize(least)}: its files need that much`,
    { hint: `rdc repo resize ${name} --size ${exactSize(least)}` },
  );
}

/** Of an open repository, in use or not. `key` may be absent where the mapping is as large as it should be. */
export function growOnlineSteps(target: RepoTarget, wantedBytes: number, key: Key | undefined): Step<ResizeFacts>[] {
  const { paths, name } = target;
  const device = (facts: ResizeFacts) => facts.loops[0]?.device ?? `/dev/loop-of-${name}`;
  return [
    { ...growImageStep(target, wantedBytes), guard: (facts) => refuseForeignUse(target, facts) },
    {
      id: 'volume.attach-size',
      title: 'tell the kernel the new size',
      already: 'the kernel knows the size',
      isDone: (facts) => facts.loopBytes === wantedBytes,
      actions: (facts) => [run(resizeLoop(device(facts)))],
    },
    {
      id: 'volume.grow',
      title: 'grow the encrypted volume',
      already: 'the encrypted volume is as large',
      isDone: (facts) => facts.mappingBytes === wantedBytes - facts.headerBytes,
      actions: () => [run(resizeMapping(target, key))],
      // It is open: whatever else cryptsetup says, its header is not what is wrong.
      explain: (error) => (isWrongKey(error) ? explainOpenFailure(error, name) : error),
    },
    {
      id: 'filesystem.grow',
      title: 'grow the filesystem',
      already: 'the filesystem is as large',
      isDone: (facts) => filesystemFits(facts, wantedBytes),
      actions: () => [run(growExt4(paths.mapperDevice))],
    },
  ];
}

function resizeMapping({ name, paths: { mapping } }: RepoTarget, key: Key | undefined) {
  if (key === undefined) {
    throw new RdcError('CREDENTIAL_MISSING', `growing repository "${name}" needs its credential`, {
      hint: `rdc repo credential add ${name}`,
    });
  }
  if ('keyFile' in key) return luksResizeWithKeyFile(mapping, key.keyFile);
  const resize = luksResize(mapping, key.credential);
  return key.lockFile === undefined ? resize : oneAtATime(key.lockFile, resize);
}

/** Durable before anything inside relies on it: after a power cut a filesystem larger than its device does not mount. */
export function growImageStep(target: RepoTarget, wantedBytes: number): Step<ResizeFacts> {
  const { paths } = target;
  return {
    id: 'image.grow',
    title: 'grow the image',
    already: 'the image is large enough',
    isDone: ({ image }) =>
      image !== undefined && image.sizeBytes >= wantedBytes && hasItsBlocks(target, image, wantedBytes),
    actions: () => [run(lengthen(target, wantedBytes)), run(command('sync', paths.image))],
  };
}

/** Of a repository that was cut off while its filesystem was being resized: that is let come to its end. */
export function awaitResizeStep(): Step<ResizeFacts> {
  return {
    id: 'filesystem.await',
    title: 'wait for the resize that is going on',
    already: 'nothing is being resized',
    isDone: (facts) => !facts.resizing,
    actions: () => [],
    settleMs: 7 * 24 * 3600 * 1000,
  };
}

/** Always, before anything is moved; `since` in milliseconds since the epoch, `room` on the datastore. */
export function checkFilesystemStep(target: RepoTarget, since: number, room: Room): Step<ResizeFacts> {
  const { paths, name } = target;
  return {
    id: 'filesystem.check',
    title: 'check the filesystem',
    already: 'the filesystem is checked',
    guard: ({ filesystem }) => {
      if (filesystem !== undefined) refuseReplayWithoutRoom(target, room, filesystem);
    },
    isDone: (facts) => (facts.filesystem?.checkedAt ?? 0) >= Math.floor(since / 1000) * 1000,
    actions: () => [run(checkExt4(paths.mapperDevice))],
    explain: (error) => explainCheckFailure(error, name, paths.image),
  };
}

export function resizeFilesystemStep(target: RepoTarget, unit: string, wantedBytes: number): Step<ResizeFacts> {
  return {
    id: 'filesystem.resize',
    title: 'resize the filesystem',
    already: 'the filesystem has the size',
    isDone: (facts) => filesystemFits(facts, wantedBytes),
    actions: (facts) => [run(resizeExt4Apart(target.paths.mapperDevice, wantedBytes - facts.headerBytes, unit))],
  };
}

/** Only after the filesystem was seen to fit and the volume to be closed. */
export function shrinkImageStep({ name, paths }: RepoTarget, wantedBytes: number): Step<ResizeFacts> {
  return {
    id: 'image.shrink',
    title: 'shrink the image',
    already: 'the image is not larger',
    isDone: (facts) => facts.image?.sizeBytes === wantedBytes,
    guard: (facts) => {
      if (!isClosed(facts)) throw new RdcError('VOLUME_IN_USE', `the image of repository "${name}" is in use`);
    },
    actions: () => [run(command('sync', paths.image)), run(command('truncate', `--size=<${wantedBytes}`, paths.image))],
  };
}

function filesystemFits({ filesystem, headerBytes }: ResizeFacts, wantedBytes: number): boolean {
  return filesystem !== undefined && fills(filesystem, wantedBytes - headerBytes);
}
