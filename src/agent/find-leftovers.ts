// What is left over on the machine, without what belongs to a command that is being carried out.
import { type Leftover, MACHINE } from '../lifecycle/leftover.ts';
import { planLeftovers } from '../lifecycle/plan-leftovers.ts';
import type { System } from '../lifecycle/system.ts';
import type { Guid } from '../protocol/ids.ts';
import { observeLeftovers } from './leftover-facts.ts';
import { lockOwners } from './lock-owner.ts';
import { presenceKey } from './run-subjects.ts';

/** The locks that whoever removes something of this subject holds beside the machine's own. */
export function lockKeys(subject: string): string[] {
  return subject === MACHINE ? [] : [subject, presenceKey(subject as Guid)];
}

/** All of it: for whoever has the locks. */
export async function findAllLeftovers(system: System, datastore: string): Promise<Leftover[]> {
  return planLeftovers(await observeLeftovers(system, datastore));
}

/** What a command has made and not yet used looks like something left over: what is locked is not told. */
export async function findLeftovers(system: System, datastore: string, lockDir: string): Promise<Leftover[]> {
  const all = await findAllLeftovers(system, datastore);
  const busy = new Set<string>();
  for (const subject of new Set(all.map((one) => one.subject))) {
    const owners = await Promise.all(lockKeys(subject).map((key) => lockOwners(lockDir, key)));
    if (owners.flat().length > 0) busy.add(subject);
  }
  return all.filter(({ subject }) => !busy.has(subject));
}
