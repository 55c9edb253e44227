// Everything that is left over on a machine, with the proof or what speaks against it. In the order in which it is removed.

import { type Leftover, MACHINE } from './leftover.ts';
import type { LeftoverFacts } from './leftover-facts.ts';
import { networkLeftovers } from './network-leftovers.ts';
import { repoLeftovers } from './repo-leftovers.ts';
import { remove } from './step.ts';

export function planLeftovers({ repos, networks, temporaryFiles }: LeftoverFacts): Leftover[] {
  const ownerOf = (guid: string | undefined) => repos.find((repo) => repo.guid === guid);
  return [
    ...repos.flatMap(repoLeftovers),
    ...networks.flatMap((network) => networkLeftovers(network, ownerOf(network.owner))),
    ...temporaryFiles.map((what) => ({
      ...{ kind: 'temporary file' as const, what, subject: MACHINE },
      because: 'it is written and renamed under the lock of the machine, which nobody has',
      removal: [remove(what)],
    })),
  ];
}
