// Whether the datastore may become a pool, and with which filesystem. Refuses before anything is changed.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf } from '../protocol/operations.ts';
import { formatSize } from '../protocol/size.ts';
import { reservePath } from './datastore-reserve.ts';
import { observeDisk } from './host-facts.ts';
import type { MachineRecord, Pool, PoolFilesystem } from './machine-record.ts';
import { datastoreDirectories, POOL_IMAGE } from './setup-datastore.ts';
import { observeMount } from './setup-facts.ts';

const POOL_FLOOR_BYTES = 1024 ** 3;
/** What the host's filesystem keeps for everything else. */
const HOST_RESERVE_BYTES = 512 * 1024 ** 2;

export async function resolvePool(
  system: System,
  { datastore, datastoreSizeBytes: sizeBytes, datastoreFilesystem: wanted }: InputOf<'machine.setup'>,
  before: MachineRecord | undefined,
): Promise<Pool | undefined> {
  refuseOtherFilesystem(before?.pool, wanted);
  if (sizeBytes === undefined) {
    if (wanted === undefined || before?.pool !== undefined) return before?.pool;
    throw new RdcError('INVALID_INPUT', `a pool with ${wanted} needs a size`, {
      hint: 'add e.g. --datastore-size 200G',
    });
  }
  if (before?.pool !== undefined) {
    if (before.pool.sizeBytes === sizeBytes) return before.pool;
    throw new RdcError(
      'ALREADY_EXISTS',
      `this machine's pool has ${formatSize(before.pool.sizeBytes)} already; its size cannot be changed yet`,
    );
  }
  if (sizeBytes < POOL_FLOOR_BYTES) throw new RdcError('INVALID_INPUT', 'a pool needs at least 1G');
  await refuseCovering(system, datastore);
  await refuseSpace(system, sizeBytes);
  return { image: POOL_IMAGE, sizeBytes, filesystem: await chooseFilesystem(system, wanted) };
}

function refuseOtherFilesystem(pool: Pool | undefined, wanted: PoolFilesystem | undefined): void {
  if (pool === undefined || wanted === undefined || pool.filesystem === wanted) return;
  throw new RdcError(
    'ALREADY_EXISTS',
    `this machine's pool has ${pool.filesystem} already: it cannot become ${wanted}`,
  );
}

/** A pool is mounted over the datastore: whatever is there would be out of sight. */
async function refuseCovering(system: System, datastore: string): Promise<void> {
  const mount = await observeMount(system, datastore, POOL_IMAGE);
  if (mount?.isPool) return;
  if (mount !== undefined) {
    throw new RdcError(
      'INVALID_INPUT',
      `"${datastore}" is a mounted filesystem (${mount.filesystem}) already: a pool cannot be put over it`,
      {
        hint: 'leave --datastore-size out to use that filesystem, or name another --datastore',
      },
    );
  }
  if (((await system.list(`${datastore}/repositories`)) ?? []).length > 0) {
    throw new RdcError(
      'ALREADY_EXISTS',
      `the datastore "${datastore}" holds repositories already: it cannot become a pool`,
    );
  }
  const ours = [...datastoreDirectories(datastore).map(({ path }) => path), reservePath(datastore)];
  for (const directory of [datastore, ...ours]) {
    const foreign = ((await system.list(directory)) ?? []).find((name) => !ours.includes(`${directory}/${name}`));
    if (foreign !== undefined) {
      throw new RdcError('ALREADY_EXISTS', `"${directory}/${foreign}" is in the way: a pool would hide it`, {
        hint: 'move it away, or name another --datastore',
      });
    }
  }
}

async function refuseSpace(system: System, sizeBytes: number): Promise<void> {
  const image = await system.stat(POOL_IMAGE);
  if (image?.sizeBytes === sizeBytes) return;
  if (image !== undefined) {
    throw new RdcError('ALREADY_EXISTS', `${POOL_IMAGE} is there already, with ${formatSize(image.sizeBytes)}`, {
      hint: 'ask for that size to use it, or move it away',
    });
  }
  const disk = await observeDisk(system, POOL_IMAGE);
  if (disk.freeBytes >= sizeBytes + HOST_RESERVE_BYTES) return;
  throw new RdcError(
    'NO_SPACE',
    `a pool of ${formatSize(sizeBytes)} does not fit: ${formatSize(disk.freeBytes)} free on ${disk.filesystem} at ${POOL_IMAGE}, of which the machine keeps ${formatSize(HOST_RESERVE_BYTES)}`,
  );
}

/** btrfs where the kernel has it (Red Hat's has not), else xfs: both share blocks between forks. */
async function chooseFilesystem(system: System, wanted: PoolFilesystem | undefined): Promise<PoolFilesystem> {
  const candidates: readonly PoolFilesystem[] = wanted === undefined ? ['btrfs', 'xfs'] : [wanted];
  for (const filesystem of candidates) {
    const look = { ...command('modprobe', '--dry-run', '--quiet', filesystem), allow: [1] };
    if ((await system.run(look)).exitCode === 0) return filesystem;
  }
  throw new RdcError('HOST_NOT_SUITABLE', `this machine's kernel has no ${candidates.join(' and no ')} for a pool`, {
    hint: 'leave --datastore-size out: the datastore is then a plain directory',
  });
}
