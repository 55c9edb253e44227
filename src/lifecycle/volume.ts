// Opening and closing the encrypted volume. One image, one opening: the loop device is attached by us, exclusively,
// and a second one of anybody's making is refused before every open. Closed is proven, never assumed: a successful
// umount on the host says nothing about other mount namespaces.
import { isCode, RdcError } from '../protocol/errors.ts';
import type { Secret } from '../protocol/secret.ts';
import { type Command, command } from './command.ts';
import type { RepoFacts } from './facts.ts';
import {
  attachLoop,
  detachLoop,
  exitCodeOf,
  explainOpenFailure,
  luksClose,
  luksOpen,
  oneAtATime,
  removeHalfMade,
} from './luks.ts';
import { explainKeyFileFailure, luksOpenWithKeyFile } from './luks-key-file.ts';
import type { Action, Step } from './step.ts';
import { makeDirectory, run } from './step.ts';
import type { RepoTarget } from './target.ts';

/** With `lockFile` the opening waits for others that take as much memory; with `header` it is by that file's header, read-only. */
export type Key = { credential: Secret; lockFile?: string; header?: string } | { keyFile: string };

/** Up to the open mapping. `key` may be absent where it is open already. */
export function openVolumeSteps(target: RepoTarget, key: Key | undefined): Step<RepoFacts>[] {
  return [attachStep(target), openStep(target, key)];
}

/** From the open mapping to a mounted volume under its unit, which is declared only now: a refused open leaves nothing behind. */
export function mountVolumeSteps(target: RepoTarget, declareUnits: Step<RepoFacts>[]): Step<RepoFacts>[] {
  return [mountStep(target), ...declareUnits, volumeUnitStep(target)];
}

/** Refuses an image that is missing or that somebody else has attached or opened. */
export function refuseForeignUse(target: RepoTarget, facts: RepoFacts): void {
  const { name, paths } = target;
  if (facts.image === undefined) {
    throw new RdcError(
      'VOLUME_DAMAGED',
      `the image of repository "${name}" is gone: ${paths.image} is no regular file`,
    );
  }
  if (facts.loops.length > 1) {
    const devices = facts.loops.map((loop) => loop.device).join(', ');
    throw new RdcError(
      'VOLUME_IN_USE',
      `the image of repository "${name}" is attached more than once (${devices}): writing through both destroys it`,
      {
        hint: `find out who attached the second one, then: losetup --detach ${facts.loops.at(-1)?.device ?? ''}`,
      },
    );
  }
  const foreign = facts.mappings.find((mapping) => mapping.name !== paths.mapping);
  if (foreign !== undefined) {
    throw new RdcError(
      'VOLUME_IN_USE',
      `the image of repository "${name}" is open under the foreign name "${foreign.name}"`,
      {
        hint: `close it first: cryptsetup close ${foreign.name}`,
      },
    );
  }
  const loopName = facts.loops[0]?.device.slice('/dev/'.length);
  if (facts.mapping !== undefined && (loopName === undefined || !facts.mapping.on.includes(loopName))) {
    throw new RdcError(
      'VOLUME_IN_USE',
      `the mapping "${paths.mapping}" exists but does not lie on the image of repository "${name}"`,
      {
        hint: `close it first: cryptsetup close ${paths.mapping}`,
      },
    );
  }
}

function attachedByAnotherName({ name, paths }: RepoTarget, cause: unknown): RdcError {
  return new RdcError('VOLUME_IN_USE', `the image of repository "${name}" is attached under another name`, {
    hint: `on the server: losetup --list, and stat ${paths.image} for its inode; then detach that one`,
    cause,
  });
}

export function attachStep(target: RepoTarget): Step<RepoFacts> {
  return {
    id: 'volume.attach',
    title: 'attach the image',
    already: 'the image is attached',
    guard: (facts) => refuseForeignUse(target, facts),
    isDone: (facts) => facts.loops.length === 1,
    actions: () => [run(attachLoop(target.paths.image))],
    // losetup(8) takes a device that has the same file by another name, instead of attaching it once more.
    explain: (error) => (isCode(error, 'STEP_NOT_VERIFIED') ? attachedByAnotherName(target, error) : error),
    settleMs: 2000,
  };
}

function openStep(target: RepoTarget, key: Key | undefined): Step<RepoFacts> {
  const { name } = target;
  const device = (facts: RepoFacts) => facts.loops[0]?.device ?? `/dev/loop-of-${name}`;
  // What a cryptsetup has left that was killed in its first moments is not seen in every state. Exit code 1: there is none.
  const cleared = run({ ...removeHalfMade(target.paths.mapping), allow: [1] });
  return {
    id: 'volume.open',
    title: 'open the encrypted volume',
    already: 'the volume is open',
    guard: (facts) => refuseForeignUse(target, facts),
    isDone: (facts) => facts.mapping !== undefined && facts.loops.every(({ autoclear }) => autoclear),
    actions: (facts) => [
      ...(facts.mapping === undefined ? [cleared, run(openCommand(target, device(facts), key))] : []),
      // From here on the loop device goes away by itself when the mapping does, whatever crashes in between.
      run(detachLoop(device(facts))),
    ],
    explain: (error) =>
      (key !== undefined && 'keyFile' in key ? explainKeyFileFailure(error, name) : undefined) ??
      explainOpenFailure(error, name),
    undo: (facts) => (facts.mapping === undefined ? [cleared, run(detachLoop(device(facts)))] : []),
    settleMs: 5000,
  };

  function openCommand({ paths: { mapping }, preallocated }: RepoTarget, loop: string, use: Key | undefined) {
    if (use === undefined) {
      throw new RdcError(
        'CREDENTIAL_MISSING',
        `repository "${name}" is closed and no credential for it is known here`,
        {
          hint: `rdc repo credential add ${name}`,
        },
      );
    }
    const keepsBlocks = preallocated;
    if ('keyFile' in use) return luksOpenWithKeyFile(loop, mapping, use.keyFile, { keepsBlocks });
    const open = luksOpen(loop, mapping, use.credential, { header: use.header, keepsBlocks });
    return use.lockFile === undefined ? open : oneAtATime(use.lockFile, open);
  }
}

/**
 * discard: freed space goes back to a sparse image and so to the host (SPEC section 4). --rw: without it mount(8) would mount a
 * mapping that a header's restore was cut off in read-only, with a warning only.
 */
export function mountVolume({ paths: { mapperDevice, mountPoint }, preallocated }: RepoTarget): Command {
  const options = preallocated ? [] : ['-o', 'discard'];
  // A journal is played back in it, on a slow disk for minutes, and ending that helps nobody.
  return {
    ...command('mount', '--rw', '-t', 'ext4', ...options, mapperDevice, mountPoint),
    timeoutMs: Number.POSITIVE_INFINITY,
  };
}

/** mount(8), "exit status": the kernel refused. */
const MOUNT_FAILED = 32;

function mountStep(target: RepoTarget): Step<RepoFacts> {
  const { paths, name } = target;
  return {
    id: 'volume.mount',
    title: 'mount the filesystem',
    already: 'the filesystem is mounted',
    // The opening may have waited long, for memory.
    guard: (facts) => refuseForeignUse(target, facts),
    isDone: (facts) => facts.mounted,
    actions: () => [makeDirectory(paths.mountPoint, 0o755), run(mountVolume(target))],
    // Another end is that of mount(8) itself, as when it was killed or cancelled: the filesystem has said nothing.
    explain: (error) => {
      if (exitCodeOf(error) !== MOUNT_FAILED) return error;
      return new RdcError('VOLUME_DAMAGED', `the filesystem of repository "${name}" cannot be mounted`, {
        hint: `rdc repo restore-header ${name} shows whether its LUKS header is the right one; then, on the server: cryptsetup open ${paths.image} check && fsck.ext4 /dev/mapper/check; cryptsetup close check`,
        cause: error,
      });
    },
    undo: () => [run(luksClose(paths.mapping))],
  };
}

/** From here on systemd closes the volume at shutdown, after everything that stands on it. */
function volumeUnitStep({ units }: RepoTarget): Step<RepoFacts> {
  return {
    id: 'volume.guard',
    title: 'hand the volume to systemd',
    already: 'systemd knows the volume',
    isDone: (facts) => facts.units.volume.active === 'active',
    actions: () => [run(command('systemctl', 'start', units.volume))],
    settleMs: 2000,
  };
}

/** Closed as far as the host's own tables tell; `holders.ts` proves that no other namespace holds it. */
export function isClosed(facts: RepoFacts): boolean {
  const { mounted, mapping, halfMade, loops, mappings } = facts;
  return !mounted && mapping === undefined && !halfMade && loops.length === 0 && mappings.length === 0;
}

/** Stops the volume's unit (umount, close), then ends what a crash may have left without a unit. */
export function closeVolumeSteps(target: RepoTarget): Step<RepoFacts>[] {
  const { units, paths, name } = target;
  const left = (facts: RepoFacts): Action[] => [
    ...(facts.mounted ? [run(command('umount', paths.mountPoint))] : []),
    ...(facts.mapping === undefined ? [] : [run(luksClose(paths.mapping))]),
    ...(facts.halfMade ? [run(removeHalfMade(paths.mapping))] : []),
  ];
  return [
    {
      id: 'volume.unit-stop',
      title: 'unmount and close the volume',
      already: 'the volume is closed',
      isDone: (facts) => facts.units.volume.active !== 'active' && facts.units.volume.active !== 'deactivating',
      actions: () => [run(command('systemctl', 'stop', units.volume))],
      settleMs: 5000,
    },
    {
      id: 'volume.close',
      title: 'close what was left open',
      already: 'no mapping and no mount is left',
      guard: (facts) => {
        const foreign = facts.mappings.find((mapping) => mapping.name !== paths.mapping);
        if (foreign === undefined) return;
        throw new RdcError(
          'VOLUME_IN_USE',
          `the image of repository "${name}" is also open under the foreign name "${foreign.name}"`,
          {
            hint: `close it first: cryptsetup close ${foreign.name}`,
          },
        );
      },
      isDone: (facts) => !facts.mounted && facts.mapping === undefined && !facts.halfMade,
      actions: left,
      settleMs: 5000,
    },
    {
      id: 'volume.detach',
      title: 'detach the image',
      already: 'no mapping, no mount and no loop device is left',
      isDone: isClosed,
      // It may detach itself at any moment (autoclear): only what is seen afterwards counts.
      actions: (facts) => facts.loops.map((loop) => run({ ...detachLoop(loop.device), allow: [1] })),
      settleMs: 5000,
    },
  ];
}
