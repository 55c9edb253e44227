// Images that somebody else has attached or opened, as doctor tells it.
import { describeForeign, findOpenings, foreignOpenings } from '../lifecycle/openings.ts';
import type { System } from '../lifecycle/system.ts';
import type { Check } from '../protocol/operations.ts';
import { repoTarget } from './layout.ts';
import { createRepoStore } from './repo-store.ts';

export async function examineOpenings(system: System, datastore: string): Promise<Check[]> {
  const about = { id: 'second-openings', title: 'images' };
  const ready = (await createRepoStore(system, datastore).list()).filter(({ state }) => state === 'ready');
  const targets = ready.map((record) => repoTarget(datastore, record));
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
