// Images that somebody else has attached or opened, as doctor tells it.
import { describeForeign, findOpenings, foreignOpenings } from '../lifecycle/openings.ts';
import type { System } from '../lifecycle/system.ts';
import type { Check } from '../protocol/operations.ts';
import { repoTarget } from './layout.ts';
import { lockOwners } from './lock-owner.ts';
import { createRepoStore } from './repo-store.ts';

/** A command may have attached an image in its own way, as a reencryption: what is locked is not judged. */
export async function examineOpenings(system: System, datastore: string, lockDir: string): Promise<Check[]> {
  const about = { id: 'second-openings', title: 'images' };
  const { records } = await createRepoStore(system, datastore).readable();
  const ready = records.filter(({ state }) => state === 'ready');
  const owners = await Promise.all(ready.map(({ guid }) => lockOwners(lockDir, guid)));
  const free = ready.filter((_record, index) => owners[index]?.length === 0);
  const targets = free.map((record) => repoTarget(datastore, record));
  const openings = await findOpenings(
    system,
    targets.map(({ paths }) => paths.image),
  );
  const faults = targets.flatMap((target): Check[] => {
    const foreign = foreignOpenings(target, openings.get(target.paths.image) ?? []);
    if (foreign.length === 0) return [];
    const { what, fix } = describeForeign(target, foreign);
    return [{ ...about, status: 'failed', found: `"${target.name}": ${what}`, fix }];
  });
  return faults.length > 0 ? faults : [{ ...about, status: 'ok', found: 'each is attached once at most' }];
}
