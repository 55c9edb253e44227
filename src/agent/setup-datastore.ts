// The datastore: a directory tree that only root reads, and where asked for a pool, a filesystem in an image of its
// own that systemd mounts at boot. Rules: the image is formatted under another name and moved into place, so that one
// under its own name is whole; space for it is reserved; nothing is ever mounted over data.
import { command } from '../lifecycle/command.ts';
import type { Action, Step } from '../lifecycle/step.ts';
import { makeDirectory, remove, run } from '../lifecycle/step.ts';
import { reservePath } from './datastore-reserve.ts';
import { STATE_DIR, UNIT_DIR } from './layout.ts';
import type { Pool, PoolFilesystem } from './machine-record.ts';
import type { SetupFacts } from './setup-facts.ts';
import { fileStep, type SetupFile } from './setup-files.ts';

export const POOL_IMAGE = `${STATE_DIR}/pool.img`;
const MKFS_TIMEOUT_MS = 10 * 60_000;

/**
 * The modes here keep the host's users out of open volumes, and away from setuid programs and device nodes that containers make
 * in them. Containers of other users reach their mount through the daemon's own view (src/lifecycle/sandbox.ts).
 */
export function datastoreDirectories(datastore: string): { path: string; mode: number }[] {
  return [
    { path: `${datastore}/repositories`, mode: 0o700 },
    { path: `${datastore}/repos`, mode: 0o700 },
    { path: `${datastore}/.state`, mode: 0o700 },
    { path: `${datastore}/.credentials`, mode: 0o700 },
    { path: `${datastore}/.credentials/keys`, mode: 0o700 },
  ];
}

export function directoriesStep(datastore: string): Step<SetupFacts> {
  const inside = datastoreDirectories(datastore);
  const isSafe = (facts: SetupFacts) => {
    const root = facts.directories[datastore];
    return root?.isRoots === true && (root.mode & 0o022) === 0;
  };
  const isRight = (facts: SetupFacts, path: string, mode: number) =>
    facts.directories[path]?.isRoots === true && facts.directories[path]?.mode === mode;
  return {
    id: 'datastore.directories',
    title: `prepare the datastore ${datastore}`,
    already: 'the datastore is prepared',
    isDone: (facts) => isSafe(facts) && inside.every(({ path, mode }) => isRight(facts, path, mode)),
    actions: (facts) => [
      ...(isSafe(facts) ? [] : [ownDirectory(datastore, 0o711)]),
      ...inside
        .filter(({ path, mode }) => !isRight(facts, path, mode))
        .map(({ path, mode }) => ownDirectory(path, mode)),
    ],
  };
}

/** install(1): makes it or sets owner and mode of what is there. */
function ownDirectory(path: string, mode: number): Action {
  return run(command('install', '-d', '-o', 'root', '-g', 'root', '-m', mode.toString(8).padStart(4, '0'), path));
}

export function poolSteps(datastore: string, pool: Pool): Step<SetupFacts>[] {
  return [imageStep(pool), fileStep(mountUnit(datastore, pool)), mountStep(datastore, pool)];
}

function imageStep({ image, sizeBytes, filesystem }: Pool): Step<SetupFacts> {
  const unfinished = `${image}.new`;
  return {
    id: 'pool.image',
    title: `make the pool's image with ${filesystem}`,
    already: "the pool's image is there",
    isDone: (facts) => facts.poolImageBytes === sizeBytes,
    actions: () => [
      makeDirectory(STATE_DIR, 0o700),
      remove(unfinished),
      run(command('install', '-m', '0600', '/dev/null', unfinished)),
      // Reserved and not sparse: a host without space would break every volume in the pool at once.
      run({ ...command('fallocate', '--length', String(sizeBytes), unfinished), timeoutMs: MKFS_TIMEOUT_MS }),
      run({ ...makeFilesystem(filesystem, unfinished), timeoutMs: MKFS_TIMEOUT_MS }),
      run(command('mv', '--no-clobber', unfinished, image)),
    ],
    undo: () => [remove(unfinished)],
  };
}

/** Without the discard that both do by default: it would give the reserved space back. */
function makeFilesystem(filesystem: PoolFilesystem, path: string) {
  return filesystem === 'btrfs'
    ? command('mkfs.btrfs', '--nodiscard', '--label', 'rediacc', path)
    : command('mkfs.xfs', '-K', '-m', 'reflink=1', '-L', 'rediacc', path);
}

/** systemd.mount(5): the unit is named after its mount point; Wants= by local-fs, so that a broken pool does not stop the boot. */
function mountUnit(datastore: string, { image, filesystem }: Pool): SetupFile {
  return {
    id: 'pool.unit',
    title: 'write the mount unit of the pool',
    already: 'the mount unit of the pool is written',
    path: `${UNIT_DIR}/${mountUnitName(datastore)}`,
    text: [
      '# Written by renet when the machine is set up.',
      '[Unit]',
      'Description=pool of the repositories',
      '',
      '[Mount]',
      `What=${image}`,
      `Where=${datastore}`,
      `Type=${filesystem}`,
      'Options=loop,noatime,nodev,nosuid',
      '',
      '[Install]',
      'WantedBy=local-fs.target',
      '',
    ].join('\n'),
    mode: 0o644,
  };
}

function mountStep(datastore: string, { filesystem }: Pool): Step<SetupFacts> {
  const unit = mountUnitName(datastore);
  // What an earlier setup without a pool left: empty, or the request would have been refused.
  const left = datastoreDirectories(datastore).toReversed();
  return {
    id: 'pool.mount',
    title: `mount the pool at ${datastore}`,
    already: 'the pool is mounted',
    isDone: ({ mount, services }) =>
      mount?.isPool === true &&
      mount.filesystem === filesystem &&
      services[unit]?.enabled === 'enabled' &&
      !services[unit]?.needsReload,
    actions: (facts) => [
      // Its space would stay taken, out of sight.
      ...(facts.mount === undefined ? [remove(reservePath(datastore))] : []),
      ...(facts.mount === undefined
        ? left.filter(({ path }) => facts.directories[path] !== undefined).map(({ path }) => remove(path))
        : []),
      // A unit that is there already and has changed is not read again by enable.
      ...(facts.services[unit]?.needsReload ? [run(command('systemctl', 'daemon-reload'))] : []),
      run(command('systemctl', 'enable', '--quiet', '--now', unit)),
    ],
    settleMs: 5000,
  };
}

/** systemd-escape --path (systemd.unit(5), "String escaping"): "/mnt/re-di" -> "mnt-re\x2ddi.mount". */
export function mountUnitName(path: string): string {
  const escaped = (part: string) =>
    part.replace(/[^A-Za-z0-9:_.]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
  const parts = path.split('/').filter((part) => part !== '');
  return `${parts.map(escaped).join('-').replace(/^\./, '\\x2e')}.mount`;
}
