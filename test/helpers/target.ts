import { repoTarget } from '../../src/agent/layout.ts';
import type { RepoTarget } from '../../src/lifecycle/target.ts';
import type { Guid, NetworkId, RepoName } from '../../src/protocol/ids.ts';

export const GUID = '0d6f1a52-7c1e-4b7e-9d0a-0a1b2c3d4e5f' as Guid;

/** A repository named "shop" with the first network id. */
export function shopTarget({ datastore = '/mnt/rediacc' } = {}): RepoTarget {
  return repoTarget(datastore, {
    guid: GUID,
    name: 'shop' as RepoName,
    networkId: 2816 as NetworkId,
    linkIndex: 0,
  });
}
