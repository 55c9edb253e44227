// Copying the image of a repository: by sharing its blocks where the datastore's filesystem can (ioctl_ficlone(2)), whole
// where it cannot. An open one is copied by sharing only, with its filesystem frozen for that instant: a whole copy takes
// longer than anybody's writes may wait, and one without a freeze is no copy of any moment.
import { command } from '../lifecycle/command.ts';
import { exitCodeOf } from '../lifecycle/luks.ts';
import { DATASTORE_FLOOR, refuseFullDatastore } from '../lifecycle/space-floors.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { isClosed } from '../lifecycle/volume.ts';
import { RdcError } from '../protocol/errors.ts';
import { formatSize } from '../protocol/size.ts';
import type { RunContext } from './handlers.ts';
import { LIB_DIR, RUNTIME_DIR } from './layout.ts';
import { replayRoom } from './open-volume.ts';
import { freeBytes } from './repo-create.ts';
import { refuseHalfResized } from './repo-volume.ts';
import type { Workbench } from './repo-workbench.ts';
import { reportedStep } from './reported-step.ts';

export interface Copied {
  copy: 'shared' | 'full';
  frozenMs?: number;
}

const FREEZE_COPY = `${LIB_DIR}/freeze-copy`;
/** Then the copying unit thaws by itself: within 10 s, also on a busy machine. */
const LONGEST_FREEZE_SECONDS = 8;
/** The thaw after a unit that was killed is a process too, and must not be ended for being slow; a copy that hangs may take as long to end. */
const THAW_PATIENCE = '60s';
const ALREADY_FROZEN = 75;
const PROGRESS_MS = 1000;

/** Whether an image can be copied by sharing its blocks; tried with two small files beside it. */
export async function sharesBlocks(system: System, { paths }: RepoTarget): Promise<boolean> {
  const [from, to] = [`${paths.image}.probe`, `${paths.image}.probe-copy`];
  try {
    await system.writeFile(from, 'probe', 0o600);
    const clone = { ...command('cp', '--reflink=always', '--', from, to), allow: [1] };
    return (await system.run(clone)).exitCode === 0;
  } finally {
    await system.remove(from);
    await system.remove(to);
  }
}

function whyWhole({ datastore, preallocated }: RepoTarget): string {
  return preallocated
    ? 'the blocks of a preallocated image are not shared'
    : `the filesystem of ${datastore} cannot share blocks`;
}

/** Throws before anything is made: VOLUME_IN_USE for an open parent that can only be copied whole, NO_SPACE where that does not fit. */
export async function refuseCopy(parent: Workbench, system: System, shares: boolean): Promise<void> {
  const { name, datastore } = parent.target;
  const facts = await parent.observe();
  if (facts.image === undefined) {
    throw new RdcError('VOLUME_DAMAGED', `the image of repository "${name}" is gone: there is nothing to copy`);
  }
  refuseHalfResized(parent);
  if (!isClosed(facts) && !facts.mounted) {
    throw new RdcError('VOLUME_IN_USE', `the volume of repository "${name}" is open and not mounted`, {
      hint: `rdc repo unmount ${name}`,
    });
  }
  if (shares) return refuseFullDatastore(parent.target, await replayRoom(parent, system), 'fork');
  if (!isClosed(facts)) {
    throw new RdcError(
      'VOLUME_IN_USE',
      `repository "${name}" is open, and ${whyWhole(parent.target)}: it can be copied only while it is closed`,
      { hint: `rdc repo down ${name} --unmount` },
    );
  }
  const free = await freeBytes(system, datastore);
  if (facts.image.allocatedBytes + DATASTORE_FLOOR <= free) return;
  throw new RdcError(
    'NO_SPACE',
    `a copy of repository "${name}" takes ${formatSize(facts.image.allocatedBytes)}: ${formatSize(free)} are free on ${datastore}`,
  );
}

export async function copyImage(
  parent: Workbench,
  fork: RepoTarget,
  shares: boolean,
  context: RunContext,
): Promise<Copied> {
  const { system } = context;
  const { image } = fork.paths;
  await system.run(command('install', '--mode=0600', '--owner=root', '--group=root', '/dev/null', image));
  if (!shares) return copyWhole(parent, fork, context);
  const { mounted } = await parent.observe();
  const title = `copy the image of "${parent.record.name}" by sharing its blocks`;
  const step = { id: 'fork.copy', title };
  const explained = async (work: Promise<number | undefined>) => {
    try {
      return await work;
    } catch (error) {
      throw explain(error, parent.target);
    }
  };
  const frozenMs = await reportedStep(
    context,
    step,
    () => explained(mounted ? copyFrozen(parent.target, image, system) : copyClosed(parent.target, image, system)),
    (ms) => (ms === undefined ? undefined : `its filesystem was frozen for ${ms} ms`),
  );
  await system.run(command('sync', image));
  return { copy: 'shared', ...(frozenMs === undefined ? {} : { frozenMs }) };
}

async function copyClosed({ paths }: RepoTarget, image: string, system: System): Promise<undefined> {
  await system.run(command('cp', '--reflink=always', '--', paths.image, image));
}

/** Milliseconds of the freeze, as the copying unit measured them. */
async function copyFrozen({ paths, guid }: RepoTarget, image: string, system: System): Promise<number> {
  const unit = freezeUnit(guid);
  const flag = `${RUNTIME_DIR}/freeze-${guid}`;
  // What an agent that was killed has left: nobody else freezes it, for we hold its lock.
  await system.run({ ...command('systemctl', 'stop', unit), allow: [5] });
  // The image too: what its filesystem has given to it waits in memory once more. Twice: what was written during the first
  // turn has little left to write, and all that is left is written under the freeze.
  for (const words of [
    ['--file-system', paths.mountPoint],
    [paths.image],
    ['--file-system', paths.mountPoint],
    [paths.image],
  ]) {
    await system.run({ ...command('sync', ...words), timeoutMs: Number.POSITIVE_INFINITY });
  }
  const properties = [
    'Description=copy of a frozen volume',
    // The script ends by itself before; this is for one that does not.
    `RuntimeMaxSec=${2 * LONGEST_FREEZE_SECONDS}s`,
    `TimeoutStopSec=${THAW_PATIENCE}`,
    // At shutdown it ends by itself; nothing may end it before it has thawed.
    'DefaultDependencies=no',
    `ExecStopPost=${FREEZE_COPY} thaw ${paths.mountPoint} ${flag}`,
  ];
  const { stdout } = await system.run({
    ...command(
      'systemd-run',
      ...['--pipe', '--wait', '--collect', '--quiet', '--service-type=exec', `--unit=${unit}`],
      ...properties.map((property) => `--property=${property}`),
      ...[FREEZE_COPY, 'copy', paths.mountPoint, paths.image, image, flag, String(LONGEST_FREEZE_SECONDS)],
    ),
    timeoutMs: 240_000,
  });
  const micros = /^frozen for (\d+) us$/m.exec(stdout)?.[1];
  if (micros === undefined) throw new RdcError('STEP_NOT_VERIFIED', 'the copy did not tell how it ended');
  return Math.ceil(Number(micros) / 1000);
}

export function freezeUnit(guid: string): string {
  return `rediacc-freeze-${guid}.service`;
}

function explain(error: unknown, { name, paths, datastore }: RepoTarget): unknown {
  const code = exitCodeOf(error);
  if (code === undefined || !(error instanceof RdcError)) return error;
  if (code === ALREADY_FROZEN) {
    return new RdcError('VOLUME_IN_USE', `the filesystem of "${name}" is frozen already, by somebody else`, {
      hint: `wait for them, or on the server: fsfreeze --unfreeze ${paths.mountPoint}`,
      cause: error,
    });
  }
  const words = error.cause instanceof Error ? error.cause.message : '';
  if (/No space left on device|Disk quota exceeded/.test(words)) {
    return new RdcError('NO_SPACE', `the filesystem of ${datastore} is full`, { cause: error });
  }
  const why = /^(exit code \d+)?$/.test(words) ? 'it took too long, or was ended' : words.split('\n').at(-1);
  return new RdcError('FAILED', `the image of "${name}" could not be copied: ${why}`, {
    hint: 'nothing is left of the copy, and nothing stays frozen; repeat the command',
    cause: error,
  });
}

async function copyWhole(parent: Workbench, fork: RepoTarget, context: RunContext): Promise<Copied> {
  const { system, report } = context;
  const { name, paths } = parent.target;
  const total = (await parent.observe()).image?.allocatedBytes ?? 0;
  report({
    kind: 'warning',
    message: `${whyWhole(parent.target)}: ${formatSize(total)} are copied, and the fork takes as much`,
  });
  const id = 'fork.copy';
  await reportedStep(
    context,
    { id, title: `copy the image of "${name}"` },
    async () => {
      const watch = watchGrowth(context, { id, path: fork.paths.image, total });
      const copy = command('cp', '--sparse=auto', '--reflink=never', '--', paths.image, fork.paths.image);
      try {
        await system.run({ ...copy, timeoutMs: Number.POSITIVE_INFINITY });
        await system.run({ ...command('sync', fork.paths.image), timeoutMs: Number.POSITIVE_INFINITY });
      } catch (error) {
        throw explain(error, parent.target);
      } finally {
        watch.end();
      }
    },
    () => formatSize(total),
  );
  return { copy: 'full' };
}

/** Tells once a second how much of the file is there. */
function watchGrowth(
  { system, report }: RunContext,
  { id, path, total }: { id: string; path: string; total: number },
): { end(): void } {
  let ended = false;
  const look = async () => {
    for (;;) {
      await system.sleep(PROGRESS_MS);
      const file = ended ? undefined : await system.stat(path);
      if (ended) return;
      report({ kind: 'progress', id, done: Math.min(total, file?.allocatedBytes ?? 0), total, unit: 'bytes' });
    }
  };
  // A cancelled run ends the waiting with an error, which its command tells as well.
  look().catch(() => undefined);
  return {
    end: () => {
      ended = true;
    },
  };
}
