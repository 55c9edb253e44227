// What the supervisor asks of the machine's records: its own settings, and the repositories that it may have to keep up.
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import type { Guid } from '../protocol/ids.ts';
import { DEFAULT_SUPERVISION, type SupervisionSettings } from '../protocol/supervision.ts';
import { repoTarget } from './layout.ts';
import { readMachine } from './machine-record.ts';
import { createRepoStore, type RepoRecord } from './repo-store.ts';

export interface Supervised {
  /** Those of a new machine where the record cannot be read. */
  settings(): Promise<SupervisionSettings>;
  /** None where the machine's record cannot be read. */
  records(): Promise<RepoRecord[]>;
  target(guid: Guid): Promise<RepoTarget | undefined>;
  targets(): Promise<RepoTarget[]>;
}

export function createSupervised(system: System): Supervised {
  const recordsIn = async (datastore: string) => {
    const { records } = await createRepoStore(system, datastore).readable();
    return records.filter(({ state }) => state === 'ready');
  };
  const targets = async () => {
    const machine = await readMachine(system);
    if (machine === undefined) return [];
    return (await recordsIn(machine.datastore)).map((record) => repoTarget(machine.datastore, record));
  };
  return {
    async settings() {
      const record = await readMachine(system).catch(() => undefined);
      return record?.supervision ?? DEFAULT_SUPERVISION;
    },
    async records() {
      const machine = await readMachine(system).catch(() => undefined);
      return machine === undefined ? [] : recordsIn(machine.datastore);
    },
    target: async (guid) => (await targets()).find((target) => target.guid === guid),
    targets,
  };
}
