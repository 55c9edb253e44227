// Whether what docker says of a container's health is a word on the container: not while the daemon is cut off from it, its
// containerd being dead, nor by a check from that time. What is stopped then stays dead, and docker takes it for running.
import type { RepoTarget } from '../lifecycle/target.ts';
import { BUSY_MS, type WatchDeps } from './watch-deps.ts';
import { reachesContainer, type WatchedContainer } from './watched-containers.ts';

/** The daemon starts its containerd again within seconds: how long it may be cut off before that is told. */
const CUT_OFF_MS = 60_000;

/** Of one container. The answer is to be asked for at every look, as long as it is unhealthy. */
export function healthVerdict(target: RepoTarget, deps: WatchDeps): (container: WatchedContainer) => Promise<boolean> {
  let reachedSince: number | undefined;
  let looksInVain = 0;
  return async ({ id, name, wasUnmade, checkedAt }) => {
    if (!(await reachesContainer(target.net.dockerSocket, id))) {
      reachedSince = undefined;
      looksInVain += 1;
      if (looksInVain * BUSY_MS === CUT_OFF_MS) {
        const whose = `container "${name}" of "${target.name}"`;
        deps.tell(
          'failed',
          `${whose} is unhealthy, and docker does not get through to it: it is not restarted`,
          target,
        );
      }
      return false;
    }
    reachedSince ??= deps.now();
    // The next one is a word on it, even that it cannot be made.
    return !wasUnmade || checkedAt >= reachedSince;
  };
}
