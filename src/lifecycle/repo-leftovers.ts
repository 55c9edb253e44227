// What is left over of one repository, known to the machine, half-made or unknown. A record or an image is never removed
// where it may be the only pointer to data: such things are told.
import { command } from './command.ts';
import type { Leftover } from './leftover.ts';
import { type DropInTrace, isOpen, isRunning, type RepoTraces, type UnitTrace } from './leftover-facts.ts';
import type { Action } from './step.ts';
import { remove, run } from './step.ts';
import { lastCopy, volumeLeftovers } from './volume-leftovers.ts';

export function repoLeftovers(traces: RepoTraces): Leftover[] {
  const last = lastCopy(traces);
  if (last !== undefined) return [last];
  if (traces.record === undefined) return ofUnknown(traces);
  return traces.record.state === 'creating' ? ofHalfMade(traces) : ofKnown(traces);
}

/** Whoever has its lock is asked beforehand: nobody, or it would not be judged. */
function ofKnown(traces: RepoTraces): Leftover[] {
  const temporary = temporaryFiles(traces);
  if (!traces.image) return [recordWithoutImage(traces), ...temporary];
  if (isOpen(traces)) return [...keyFileWithoutSlot(traces), ...temporary];
  const why = 'its repository is closed and no command works on it';
  return [
    ...volumeLeftovers(traces, why),
    ...dropIns(traces.guid, traces.dropIns, why),
    ...keyFileWithoutSlot(traces),
    ...temporary,
  ];
}

/** A delete that was cut off leaves one too, and is finished by typing it again. */
function recordWithoutImage(traces: RepoTraces): Leftover {
  const { guid, record, paths } = traces;
  return {
    ...about(traces, 'record', paths.record),
    because: 'its image is gone, and the record may be all that tells of it',
    // What is open of an image that was moved is used all the same.
    fix: `put the image back as ${paths.image}${isOpen(traces) ? '' : `, or: rdc repo delete ${record?.name ?? guid}`}`,
  };
}

function keyFileWithoutSlot(traces: RepoTraces): Leftover[] {
  const { record, paths, keyFile, keySlot } = traces;
  if (!keyFile || record === undefined || record.autostart) return [];
  const one = about(traces, 'key file', paths.keyFile);
  if (keySlot === 'free') {
    const because = 'its repository has no autostart, and the slot of the image that it would open is empty';
    return [{ ...one, because, removal: [remove(paths.keyFile)] }];
  }
  const found = keySlot === 'used' ? 'its slot in the image is used' : 'the header of the image cannot be read';
  const fix = `rdc repo autostart enable ${record.name}   (or disable: either finishes what was cut off)`;
  return [{ ...one, because: `its repository has no autostart, but ${found}`, fix }];
}

/** What a create or a fork that was cut off has made: its record says so until the very end. The record goes last. */
function ofHalfMade(traces: RepoTraces): Leftover[] {
  const { paths, record } = traces;
  if (traces.units.some(isRunning)) {
    const because = 'units of it run, although its record says that it was never finished';
    return [{ ...about(traces, 'record', paths.record), because, fix: `rdc repo status ${record?.name ?? ''}` }];
  }
  const why =
    'the command that was making its repository was cut off: the record says "creating", and nobody has its lock';
  const file = (kind: 'image' | 'header backup' | 'record', path: string, removal: Action[]): Leftover => ({
    ...about(traces, kind, path),
    ...{ because: why, removal },
  });
  const volume = volumeLeftovers(traces, why);
  // Nothing is taken from under what somebody uses.
  if (volume.some(({ removal }) => removal === undefined)) return volume.filter(({ removal }) => removal === undefined);
  return [
    ...volume,
    ...(traces.image ? [file('image', paths.image, [run(command('rm', '--force', '--', paths.image))])] : []),
    ...(traces.headerBackup ? [file('header backup', paths.headerBackup, [remove(paths.headerBackup)])] : []),
    ...emptyMountPoint(traces, why),
    ...dropIns(traces.guid, traces.dropIns, why),
    ...temporaryFiles(traces),
    file('record', paths.record, [remove(paths.record)]),
  ];
}

function ofUnknown(traces: RepoTraces): Leftover[] {
  const { guid, units, paths } = traces;
  // Each of these is somebody's work on data: a volume, a daemon, a copy under a freeze, blocks that are being moved.
  const busy = units.find((unit) => isRunning(unit) && /^rediacc-(volume@|docker@|freeze-|resize-)/.test(unit.name));
  if (busy !== undefined) {
    const because = 'it runs, although the machine has no record of its repository';
    return [{ ...about(traces, 'unit', busy.name), because, fix: `put back ${paths.record}` }];
  }
  const point = traces.mounts[0];
  if (point !== undefined) {
    const because = 'it is mounted, although the machine has no record of its repository';
    return [{ ...about(traces, 'mount', point), because, fix: `put back ${paths.record}, or: umount ${point}` }];
  }
  const why = 'the machine has no record of its repository, and nothing of it is open';
  return [
    ...orphanUnits(guid, units, why),
    ...volumeLeftovers(traces, why),
    ...imageWithoutRecord(traces),
    ...filesWithoutImage(traces),
    ...emptyMountPoint(traces, why),
    ...dropIns(guid, traces.dropIns, why),
    ...traces.runtimeFiles.map((path) => file(traces, 'runtime file', path, why)),
    ...temporaryFiles(traces),
  ];
}

/** Stopped in the order of the chain: what stands on the volume first. Only what systemd has in memory is here. */
export function orphanUnits(subject: string, units: readonly UnitTrace[], why: string): Leftover[] {
  const depth = ({ name }: UnitTrace) =>
    ['volume@', 'net@', 'docker@', 'repo@'].findIndex((part) => name.includes(part));
  const due = units.filter((unit) => isRunning(unit) || unit.active === 'failed');
  return [...due]
    .sort((a, b) => depth(b) - depth(a))
    .map((unit) => ({
      ...{ kind: 'unit', what: unit.name, subject },
      because: unit.active === 'failed' ? `${why}; it has failed` : why,
      removal: [
        ...(isRunning(unit) ? [run({ ...command('systemctl', 'stop', unit.name), timeoutMs: 400_000 })] : []),
        run({ ...command('systemctl', 'reset-failed', unit.name), allow: [1] }),
      ],
    }));
}

function imageWithoutRecord(traces: RepoTraces): Leftover[] {
  const { image, paths } = traces;
  if (!image) return [];
  const because = 'there is no record of it, and nothing proves that it holds no data';
  const fix = `put back ${paths.record}, or move the image away`;
  return [{ ...about(traces, 'image', paths.image), because, fix }];
}

/** Whoever has moved an image away may be able to open it by them alone. Beside an image they belong to it. */
function filesWithoutImage(traces: RepoTraces): Leftover[] {
  const { image, paths, keyFile, headerBackup } = traces;
  if (image) return [];
  const told = (kind: 'key file' | 'header backup', path: string): Leftover => ({
    ...about(traces, kind, path),
    because: 'neither an image nor a record of its repository is here, but an image of it elsewhere may need it',
    fix: `if there is none: rm ${path}`,
  });
  return [
    ...(keyFile ? [told('key file', paths.keyFile)] : []),
    ...(headerBackup ? [told('header backup', paths.headerBackup)] : []),
  ];
}

function emptyMountPoint(traces: RepoTraces, why: string): Leftover[] {
  const { mountPoint, paths } = traces;
  if (mountPoint === 'absent') return [];
  // rmdir(2) takes none that has anything in it.
  if (mountPoint !== 'filled')
    return [file(traces, 'mount point', paths.mountPoint, `${why}; it is an empty directory`)];
  const because = 'there are files in it, which were written while nothing was mounted there';
  return [{ ...about(traces, 'mount point', paths.mountPoint), because, fix: `look at it: ls ${paths.mountPoint}` }];
}

/** Files that others put into the directory are theirs, and so is then the directory. */
export function dropIns(subject: string, traces: readonly DropInTrace[], why: string): Leftover[] {
  return traces.map(({ path, ours, shared }) => ({
    ...{ kind: 'drop-in', what: path, subject, because: why },
    removal: [...ours.map((name) => remove(`${path}/${name}`)), ...(shared ? [] : [remove(path)])],
  }));
}

function temporaryFiles(traces: RepoTraces): Leftover[] {
  const why = 'it is written and renamed under the lock of its repository, which nobody has';
  return traces.temporaryFiles.map((path) => file(traces, 'temporary file', path, why));
}

function file(traces: RepoTraces, kind: Leftover['kind'], path: string, because: string): Leftover {
  return { ...about(traces, kind, path), because, removal: [remove(path)] };
}

function about({ guid, record }: RepoTraces, kind: Leftover['kind'], what: string) {
  return { kind, what, subject: guid, ...(record === undefined ? {} : { repo: record.name }) };
}
