// One repository that should be up, watched until it should be no longer: its daemon through the end of the event stream
// (no process, no timer while all is well), its containers in container-care.ts. What is done about what is seen is here;
// how often, in supervision-policy.ts.
import { command } from '../lifecycle/command.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { messageOf, RdcError } from '../protocol/errors.ts';
import { followContainers } from './container-care.ts';
import { type DaemonState, observeDaemon } from './daemon-state.ts';
import { counted, judge, RULES } from './supervision-policy.ts';
import { BUSY_MS, shouldBeUp, type WatchDeps } from './watch-deps.ts';
import { startLost } from './watched-containers.ts';

/** Between looks at a daemon that is on its way. */
const LOOK_MS = 2_000;
/** After the end of the stream, until systemd knows as well. */
const SETTLE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Between looks at a broken repository while the supervision is switched off. */
const OFF_MS = 60_000;

/** Resolves when it should no longer be up, is left alone, or is given up. Throws CANCELLED with the signal. */
export async function watchRepo(target: RepoTarget, deps: WatchDeps): Promise<void> {
  const { system, record } = deps;
  const boot = (await system.readFile('/proc/sys/kernel/random/boot_id'))?.trim() ?? '';
  let fault: string | undefined;
  // systemd counts a start before it is ready.
  let isBackSoon = false;
  let pause = SETTLE_MS / 2;
  while (await shouldBeUp(target, deps)) {
    const daemon = await observeDaemon(system, target.units.docker);
    fault = daemon.fault ?? fault;
    const deaths = Math.max(0, daemon.restarts - record.daemonRestarts(target.guid, boot));
    record.setDaemonRestarts(target.guid, boot, daemon.restarts);
    isBackSoon ||= deaths > 0;
    const isTooOften = !countDeaths(target, deps, deaths);
    if (isTooOften || daemon.active === 'failed') {
      const reason = `its docker daemon ${isTooOften ? `died more than ${RULES.daemon.limit} times without rest` : 'failed'}`;
      const why = fault === undefined ? '' : ` (${fault})`;
      if (!(await bringBack(target, deps, `${reason}${why}`))) return;
      isBackSoon = false;
    } else if (daemon.active === 'active') {
      if (isBackSoon) await welcomeBack(target, deps, daemon, fault);
      isBackSoon = false;
      fault = undefined;
      const since = system.now();
      await followContainers(target, deps);
      // A daemon that runs and does not answer must not keep us busy.
      pause = system.now() - since > LONGEST_PAUSE_MS ? SETTLE_MS : Math.min(pause * 2, LONGEST_PAUSE_MS);
      await system.sleep(pause);
    } else if (daemon.active === 'inactive') {
      if (await isSomebodyAtIt(target, deps)) continue;
      // What was given up has been stopped by us.
      if (record.attention(target.guid) !== undefined) return;
      deps.tell(
        'left-alone',
        `the docker daemon of "${target.name}" was stopped with systemctl: it is left so`,
        target,
      );
      return;
    } else {
      await system.sleep(LOOK_MS);
    }
  }
}

/** A run stops the daemon as well: what it leaves tells. True: look again. */
async function isSomebodyAtIt(target: RepoTarget, deps: WatchDeps): Promise<boolean> {
  const isFree = await deps.withLock(target, 'a look at it', async () => undefined);
  if (!isFree) await deps.system.sleep(BUSY_MS);
  if (!isFree) return true;
  // Whoever stopped it may have taken the promise back, or started it again, before we had the lock.
  const { active } = await observeDaemon(deps.system, target.units.docker);
  return active !== 'inactive' || !(await shouldBeUp(target, deps));
}

/** False: too often without rest. */
function countDeaths({ guid }: RepoTarget, { record, now }: WatchDeps, deaths: number): boolean {
  for (let death = 0; death < deaths; death += 1) {
    const tries = record.tries(guid, 'daemon');
    if (judge(tries, now(), RULES.daemon).act === 'give-up') return false;
    record.setTries(guid, 'daemon', counted(tries, now(), RULES.daemon));
  }
  return true;
}

/** The whole `up`, which also mends what the daemon stands on. False: given up. */
async function bringBack(target: RepoTarget, deps: WatchDeps, reason: string): Promise<boolean> {
  const { record, system } = deps;
  if (!(await deps.settings()).enabled) {
    await system.sleep(OFF_MS);
    return true;
  }
  const verdict = judge(record.tries(target.guid, 'repository'), deps.now(), RULES.repository);
  if (verdict.act === 'give-up') {
    // systemd would start it for ever.
    const stop = { ...command('systemctl', 'stop', target.units.docker), timeoutMs: 90_000, allow: [1, 4, 5] };
    const isFree = await deps.withLock(target, 'end of its docker daemon', async () => void (await system.run(stop)));
    if (!isFree) await system.sleep(BUSY_MS);
    else deps.giveUp(target, reason);
    return !isFree;
  }
  if (verdict.afterMs > 0) {
    // Somebody may have mended it by then.
    await system.sleep(verdict.afterMs);
    return true;
  }
  try {
    await deps.bringUp(target);
    deps.tell('repository-started', `"${target.name}" was started as a whole: ${reason}`, target);
    record.forgetTries(target.guid, 'daemon');
  } catch (error) {
    if (error instanceof RdcError && error.code === 'BUSY') {
      await system.sleep(BUSY_MS);
      return true;
    }
    deps.tell('failed', `"${target.name}" could not be started, since ${reason}: ${messageOf(error)}`, target);
  }
  const { guid } = target;
  record.setTries(guid, 'repository', counted(record.tries(guid, 'repository'), deps.now(), RULES.repository));
  return true;
}

async function welcomeBack(target: RepoTarget, deps: WatchDeps, daemon: DaemonState, fault: string | undefined) {
  if (!(await deps.settings()).enabled) return;
  const why = fault === undefined ? '' : ` (${fault})`;
  let also = '';
  try {
    const work = async () => {
      const { started, failed } = await startLost(target.net.dockerSocket, daemon.startedAt);
      if (started.length > 0) also = `; started with it: ${started.join(', ')}`;
      if (failed.length > 0) also += `; could not be started: ${failed.join('; ')}`;
    };
    // Whoever is at it may have nothing to do with its containers.
    while (!(await deps.withLock(target, 'start of containers that ended with their daemon', work))) {
      await deps.system.sleep(BUSY_MS);
      if (!(await shouldBeUp(target, deps))) return;
    }
  } catch (error) {
    also = `; its containers could not all be started: ${messageOf(error)}`;
  }
  deps.tell(
    'daemon-restarted',
    `the docker daemon of "${target.name}" died${why} and was started again${also}`,
    target,
  );
}
