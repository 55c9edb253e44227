// Making a new encrypted volume: image, LUKS, filesystem, header backup. Works on an image nobody uses yet; what a
// crash leaves is recognised by the record's state "creating": its volume is made anew under the same record, never
// continued with a key or a header that may be half there.
import { RdcError } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import { formatSize } from '../protocol/size.ts';
import { type Command, command } from './command.ts';
import type { RepoFacts } from './facts.ts';
import { headerBackupActions, headerBackupDraft } from './header-backup.ts';
import type { KeyKind } from './luks.ts';
import { luksFormat } from './luks.ts';
import { DATASTORE_FLOOR } from './space-floors.ts';
import type { Step } from './step.ts';
import { remove, run } from './step.ts';
import type { RepoTarget } from './target.ts';

/** To take blocks for an image that is not sparse: some filesystems write zeroes instead. */
const PREALLOCATE_MS = 24 * 3600 * 1000;

export interface CreateFacts extends RepoFacts {
  /** Bytes free for root on the datastore's filesystem. */
  freeBytes: number;
  /** The image carries a LUKS2 header. */
  formatted: boolean;
  headerBackedUp: boolean;
  /** The open mapping carries ext4. */
  hasFilesystem: boolean;
}

export interface NewVolume {
  sizeBytes: number;
  credential: Secret;
  kdf: KeyKind;
}

/** A sparse image only reserves its size on paper; still none is made that could not be filled today. */
export function refuseWithoutSpace(
  target: Pick<RepoTarget, 'name' | 'datastore'>,
  { sizeBytes }: Pick<NewVolume, 'sizeBytes'>,
  freeBytes: number,
): void {
  if (sizeBytes + DATASTORE_FLOOR <= freeBytes) return;
  throw new RdcError(
    'NO_SPACE',
    `repository "${target.name}" of ${formatSize(sizeBytes)} does not fit: ${formatSize(freeBytes)} are free on ${target.datastore}`,
    {
      hint: `rdc repo create ${target.name} --size ${formatSize(Math.max(0, Math.floor((freeBytes - DATASTORE_FLOOR) / 1024 ** 3)) * 1024 ** 3)}`,
    },
  );
}

/** Up to a formatted image; the volume is then opened with openVolumeSteps and given a filesystem. */
export function formatSteps(target: RepoTarget, volume: NewVolume): Step<CreateFacts>[] {
  const { paths } = target;
  return [
    {
      id: 'image.make',
      title: 'make the image',
      already: 'the image is there',
      guard: (facts) => {
        if (facts.image === undefined) refuseWithoutSpace(target, volume, facts.freeBytes);
      },
      isDone: ({ image }) =>
        image?.sizeBytes === volume.sizeBytes && image.mode === 0o600 && hasItsBlocks(target, image, volume.sizeBytes),
      actions: () => [
        run(command('install', '--mode=0600', '--owner=root', '--group=root', '/dev/null', paths.image)),
        run(lengthen(target, volume.sizeBytes)),
      ],
      undo: () => [remove(paths.image)],
    },
    {
      id: 'volume.format',
      title: 'encrypt the image',
      already: 'the image is encrypted',
      isDone: (facts) => facts.formatted,
      actions: () => [
        run({ ...luksFormat(paths.image, volume.credential, volume.kdf, target.guid), timeoutMs: 300_000 }),
      ],
    },
    {
      id: 'volume.header-backup',
      title: 'back up the LUKS header',
      already: 'the LUKS header is backed up',
      isDone: (facts) => facts.headerBackedUp,
      actions: () => headerBackupActions(paths, volume.credential),
      undo: () => [remove(headerBackupDraft(paths))],
    },
  ];
}

/** Makes the image as large, and never smaller: sparse, or with all its blocks (fallocate(2)). */
export function lengthen({ paths, preallocated }: RepoTarget, sizeBytes: number): Command {
  return preallocated
    ? { ...command('fallocate', '--length', String(sizeBytes), paths.image), timeoutMs: PREALLOCATE_MS }
    : command('truncate', `--size=>${sizeBytes}`, paths.image);
}

export function hasItsBlocks(
  { preallocated }: Pick<RepoTarget, 'preallocated'>,
  { allocatedBytes }: { allocatedBytes: number },
  sizeBytes: number,
): boolean {
  return !preallocated || allocatedBytes >= sizeBytes;
}

/** On a filesystem that writes to a new place each time no block is kept. Throws HOST_NOT_SUITABLE. */
export function refuseCopyOnWrite(
  { name, datastore }: Pick<RepoTarget, 'name' | 'datastore'>,
  filesystem: string,
): void {
  if (!['btrfs', 'bcachefs', 'zfs'].includes(filesystem)) return;
  throw new RdcError(
    'HOST_NOT_SUITABLE',
    `no space can be kept for repository "${name}" on ${datastore}: ${filesystem} writes to new blocks each time`,
    { hint: 'leave --preallocate out' },
  );
}

/** On the open mapping of a new volume. ext4 with 1 % for root: a full volume must still let its daemon start. */
export function filesystemStep({ paths, guid }: RepoTarget): Step<CreateFacts> {
  const lazy = 'lazy_itable_init=1,lazy_journal_init=1';
  return {
    id: 'volume.filesystem',
    title: 'make the filesystem',
    already: 'the filesystem is there',
    isDone: (facts) => facts.hasFilesystem,
    actions: () => [run(command('mkfs.ext4', '-q', '-F', '-m', '1', '-U', guid, '-E', lazy, paths.mapperDevice))],
  };
}
