// Which network id a new repository gets: the lowest free one; ids of deleted repositories only when nothing else
// is left, oldest deletion first, so that a stale address does not soon point to somebody else. Pure.
import { RdcError } from '../protocol/errors.ts';
import { FIRST_NETWORK_ID, LAST_NETWORK_ID, NETWORK_ID_STEP, type NetworkId } from '../protocol/ids.ts';
import { LINK_COUNT } from './address.ts';

export interface NetworkUse {
  /** Ids of repositories, half-made ones included, and of blocks in which something foreign listens. */
  taken: ReadonlySet<number>;
  /** Ids of deleted repositories, oldest deletion first. */
  retired: readonly number[];
}

export function allocateNetworkId({ taken, retired }: NetworkUse): NetworkId {
  const resting = new Set(retired);
  for (let id = FIRST_NETWORK_ID; id <= LAST_NETWORK_ID; id += NETWORK_ID_STEP) {
    if (!taken.has(id) && !resting.has(id)) return id as NetworkId;
  }
  const reused = retired.find((id) => !taken.has(id));
  if (reused === undefined) throw new RdcError('FAILED', 'no network id is free on this machine');
  return reused as NetworkId;
}

/** The lowest free pair of link addresses. */
export function allocateLinkIndex(taken: ReadonlySet<number>): number {
  for (let index = 0; index < LINK_COUNT; index += 1) if (!taken.has(index)) return index;
  throw new RdcError('FAILED', `all ${LINK_COUNT} link address pairs of this machine are in use`);
}
