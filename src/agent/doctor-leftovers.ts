// What doctor says of leftovers: a line for each, with its proof and what to do about it.
import { describeLeftover } from '../lifecycle/leftover.ts';
import type { System } from '../lifecycle/system.ts';
import type { Check } from '../protocol/operations.ts';
import { findLeftovers } from './find-leftovers.ts';

/** The command line puts the machine's name in the place of this word. */
const PRUNE = 'rdc machine prune MACHINE --dry-run';

export async function examineLeftovers(system: System, datastore: string, lockDir: string): Promise<Check[]> {
  const about = { id: 'leftovers', title: 'leftovers' };
  const leftovers = await findLeftovers(system, datastore, lockDir);
  if (leftovers.length === 0) return [{ ...about, status: 'ok', found: 'none' }];
  return leftovers.map((leftover): Check => {
    const { because, removal, fix } = leftover;
    const verdict = removal === undefined ? 'left alone because' : 'dead because';
    const remedy = removal === undefined ? fix : PRUNE;
    const found = `${describeLeftover(leftover)}: ${verdict} ${because}`;
    return { ...about, status: 'failed', found, ...(remedy === undefined ? {} : { fix: remedy }) };
  });
}
