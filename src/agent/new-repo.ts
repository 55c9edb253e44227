// What create and fork have in common: a name and a GUID that are free, a network id of its own, and what is done about
// repositories that never got ready.
import pLimit from 'p-limit';
import type { RepoFacts } from '../lifecycle/facts.ts';
import { headerBackupDraft } from '../lifecycle/header-backup.ts';
import { converge } from '../lifecycle/run-plan.ts';
import type { System } from '../lifecycle/system.ts';
import { closeVolumeSteps } from '../lifecycle/volume.ts';
import { allocateLinkIndex, allocateNetworkId } from '../network/allocate.ts';
import { RdcError } from '../protocol/errors.ts';
import type { Guid, RepoName } from '../protocol/ids.ts';
import { repoPaths } from './layout.ts';
import { observeNetworkUse } from './network-use.ts';
import type { RepoRecord, RepoStore } from './repo-store.ts';
import { type Workbench, workbenchBy, workbenchOf } from './repo-workbench.ts';

export interface NewRepo {
  name: RepoName;
  guid: Guid;
}

/** What the record says beside what is allocated. */
type Origin = Pick<RepoRecord, 'parent' | 'limits' | 'preallocated'>;

export type Claim = (
  work: { system: System; store: RepoStore; dryRun: boolean },
  repo: NewRepo,
  origin?: Origin,
) => Promise<RepoRecord>;

/**
 * Two at once must not see the same free id: allocation and claim are one turn, for all that make repositories. Whoever repeats
 * what was cut off gets the claim of then.
 */
export function createClaim(): Claim {
  const oneAtATime = pLimit(1);
  return ({ system, store, dryRun }, repo, origin = {}) =>
    oneAtATime(async () => {
      const claimed = (await store.list()).find(
        ({ guid, state, parent }) => guid === repo.guid && state === 'creating' && parent === origin.parent,
      );
      const numbers = claimed ?? (await allocateNumbers(system, store));
      const record = { ...newRecord(repo, numbers), ...origin };
      if (!dryRun) await store.save(record);
      return record;
    });
}

/** What a claim that was cut off has taken already. */
type Numbers = Pick<RepoRecord, 'networkId' | 'linkIndex' | 'createdAt'>;

async function allocateNumbers(system: System, store: RepoStore): Promise<Numbers> {
  const use = await observeNetworkUse(system, store);
  return { networkId: allocateNetworkId(use), linkIndex: allocateLinkIndex(use.links), createdAt: Date.now() };
}

function newRecord({ name, guid }: NewRepo, { networkId, linkIndex, createdAt }: Numbers): RepoRecord {
  return {
    version: 1,
    guid,
    name,
    networkId,
    linkIndex,
    filesystem: 'ext4',
    state: 'creating',
    autostart: false,
    createdAt,
  };
}

/** The finished repository of the same GUID and the same origin, if the same request came before. */
export async function refuseTakenName(
  store: RepoStore,
  { name, guid }: NewRepo,
  parent?: Guid,
): Promise<RepoRecord | undefined> {
  const records = await store.list();
  const same = records.find((record) => record.guid === guid && record.state === 'ready');
  if (same !== undefined && same.parent === parent) return same;
  if (same !== undefined || records.some((record) => record.name === name && record.state === 'ready')) {
    throw new RdcError('ALREADY_EXISTS', `there is a repository "${name}" on this machine already`, {
      hint: `rdc repo status ${name}`,
    });
  }
  return undefined;
}

/** An image outlives its record only where that was lost: it may hold data, so it is neither made anew nor rolled back. */
export async function refuseUnknownImage(
  system: System,
  store: RepoStore,
  datastore: string,
  { name, guid }: NewRepo,
): Promise<void> {
  const { image, record } = repoPaths(datastore, guid);
  if ((await system.stat(image)) === undefined) return;
  if ((await store.list()).some((known) => known.guid === guid)) return;
  throw new RdcError('ALREADY_EXISTS', `there is an image ${image} for "${name}" already, and no record of it`, {
    hint: `put back ${record}, or move the image away`,
  });
}

/** Records of this name that never got ready: their run is over (we hold the name's lock). `except`: our own. */
export async function clearHalfMade(
  system: System,
  { store, machine }: Pick<Workbench, 'store' | 'machine'>,
  name: string,
  except?: Guid,
): Promise<void> {
  for (const other of await store.list()) {
    if (other.name !== name || other.state === 'ready' || other.guid === except) continue;
    await discardHalfMade(system, await workbenchOf(system, machine, store, other));
  }
}

/** Closes and removes everything of a repository that never got ready. Its record goes last: until then a repeat finds the rest. */
export async function discardHalfMade(system: System, halfMade: Workbench): Promise<void> {
  const bench = await workbenchBy(system, halfMade);
  await discardVolume(system, bench);
  await bench.store.remove(bench.record.guid);
}

/** Only of one that never got ready. */
export async function discardVolume(system: System, { target, observe }: Workbench): Promise<void> {
  const { paths } = target;
  await converge<RepoFacts>(closeVolumeSteps(target), { system, report: () => undefined, observe });
  for (const path of [paths.image, headerBackupDraft(paths), paths.headerBackup, paths.mountPoint]) {
    await system.remove(path);
  }
}
