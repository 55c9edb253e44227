// The containers of one daemon while it runs, through its events: those that become unhealthy are restarted, as often as
// supervision-policy.ts allows.
import type { RepoTarget } from '../lifecycle/target.ts';
import { messageOf } from '../protocol/errors.ts';
import { followDocker } from './docker-api.ts';
import { healthVerdict } from './health-verdict.ts';
import { counted, judge, RULES, type Rule } from './supervision-policy.ts';
import { BUSY_MS, shouldBeUp, type WatchDeps } from './watch-deps.ts';
import { HEALTH_EVENTS, listUnhealthy, lookAtContainer, restartContainer, unhealthyIn } from './watched-containers.ts';

/** Until the daemon ends. */
export async function followContainers(target: RepoTarget, deps: WatchDeps): Promise<void> {
  const socket = target.net.dockerSocket;
  const atWork = new Map<string, Promise<void>>();
  const meanwhile = new Set<string>();
  const ended = new AbortController();
  const care = (id: string): void => {
    // What is being restarted can become unhealthy again before that has ended.
    if (atWork.has(id)) meanwhile.add(id);
    if (atWork.has(id)) return;
    const work = careForContainer(id, target, deps, ended.signal).then(() => {
      atWork.delete(id);
      if (meanwhile.delete(id)) care(id);
    });
    atWork.set(id, work);
  };
  await followDocker(socket, HEALTH_EVENTS, {
    // What became unhealthy before anybody listened.
    onOpen: () =>
      void listUnhealthy(socket).then(
        (ids) => ids.forEach(care),
        () => undefined,
      ),
    onEvent(event) {
      const id = unhealthyIn(event);
      if (id !== undefined) care(id);
    },
    signal: AbortSignal.any([deps.signal, deps.changed()]),
  });
  ended.abort();
  await Promise.all(atWork.values());
}

/** Restarts it, if it is unhealthy still when its turn comes. Never throws: with the daemon all of this ends. */
async function careForContainer(
  id: string,
  target: RepoTarget,
  deps: WatchDeps,
  daemonEnded: AbortSignal,
): Promise<void> {
  const socket = target.net.dockerSocket;
  const isVerdict = healthVerdict(target, deps);
  while (!daemonEnded.aborted && !deps.signal.aborted) {
    let isCounted = false;
    try {
      const container = await lookAtContainer(socket, id);
      if (container === undefined || !container.unhealthy || !(await shouldBeUp(target, deps))) return;
      const what = `container ${container.name}`;
      const { enabled, restarts } = await deps.settings();
      if (!enabled) return;
      if (!(await isVerdict(container))) {
        await deps.system.sleep(BUSY_MS);
        continue;
      }
      const rule: Rule = { ...RULES.container, limit: restarts };
      const tries = deps.record.tries(target.guid, what);
      const verdict = judge(tries, deps.now(), rule);
      const words = container.lastWords === '' ? '' : ` (its health check says: ${container.lastWords})`;
      if (verdict.act === 'give-up') {
        // Nobody asked for restarts: its state says enough.
        if (rule.limit === 0) return;
        const often = `${rule.limit} ${rule.limit === 1 ? 'restart' : 'restarts'}`;
        deps.giveUp(target, `container "${container.name}" is unhealthy after ${often}${words}`);
        return;
      }
      if (verdict.afterMs > 0) {
        await deps.system.sleep(verdict.afterMs);
        continue;
      }
      const isFree = await deps.withLock(target, `restart of unhealthy ${what}`, async () => {
        const still = await lookAtContainer(socket, id);
        if (still === undefined || !still.unhealthy) return;
        deps.record.setTries(target.guid, what, counted(tries, deps.now(), rule));
        isCounted = true;
        await restartContainer(socket, id);
        deps.tell(
          'container-restarted',
          `container "${container.name}" of "${target.name}" was unhealthy${words} and was restarted`,
          target,
        );
      });
      if (isFree) return;
      await deps.system.sleep(BUSY_MS);
    } catch (error) {
      if (daemonEnded.aborted || deps.signal.aborted || isConnectionLost(error)) return;
      deps.tell(
        'failed',
        `an unhealthy container of "${target.name}" could not be restarted: ${messageOf(error)}`,
        target,
      );
      // Docker tells of its health only when that changes: nobody else would come back to it.
      if (!isCounted) return;
    }
  }
}

/** The daemon is gone: the end of its events, which comes a moment later, is what tells. */
function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code = '', syscall } = error as NodeJS.ErrnoException;
  // unix(7), connect(2): nobody listens any more, or the socket is gone. ENOENT of anything else is no such thing.
  const isUnreachable = syscall === 'connect' && ['ECONNREFUSED', 'ENOENT'].includes(code);
  return isUnreachable || ['ECONNRESET', 'EPIPE'].includes(code);
}
