// One repository that should be up, watched until it should be no longer: its daemon through the end of the event stream
// (no process, no timer while all is well), its containers through the events. What is done about what is seen is here;
// how often, in supervision-policy.ts.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import type { SupervisionKind, SupervisionSettings } from '../protocol/supervision.ts';
import { type DaemonState, observeDaemon } from './daemon-state.ts';
import { followDocker } from './docker-api.ts';
import { counted, judge, RULES, type Rule } from './supervision-policy.ts';
import type { SupervisionRecord } from './supervision-record.ts';
import {
  HEALTH_EVENTS,
  listUnhealthy,
  lookAtContainer,
  restartContainer,
  startLost,
  unhealthyIn,
} from './watched-containers.ts';

export interface WatchDeps {
  /** Its commands and pauses end with the signal. */
  system: System;
  signal: AbortSignal;
  record: SupervisionRecord;
  /** Milliseconds since the epoch. */
  now(): number;
  settings(): Promise<Pick<SupervisionSettings, 'enabled' | 'restarts'>>;
  /** Aborted, and made anew, when the settings have changed. */
  changed(): AbortSignal;
  /** Does the work with the repository's lock; false: somebody else has it. */
  withLock(target: RepoTarget, what: string, work: () => Promise<void>): Promise<boolean>;
  /** A whole `repo up` as a run of its own. Throws why it failed; BUSY. */
  bringUp(target: RepoTarget): Promise<void>;
  tell(kind: SupervisionKind, message: string, target: RepoTarget): void;
  giveUp(target: RepoTarget, reason: string): void;
}

/** Between looks at a daemon that is on its way. */
const LOOK_MS = 2_000;
/** After the end of the stream, until systemd knows as well. */
const SETTLE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Between looks at a broken repository while the supervision is switched off. */
const OFF_MS = 60_000;
/** Between tries to get at a repository that somebody else is changing. */
const BUSY_MS = 5_000;

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

/** Up was asked for, and down was not. */
async function shouldBeUp({ needsDownFlag }: RepoTarget, { system }: WatchDeps): Promise<boolean> {
  return (await system.stat(needsDownFlag)) !== undefined;
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
    await deps.withLock(target, 'start of containers that ended with their daemon', async () => {
      const started = await startLost(target.net.dockerSocket, daemon.startedAt);
      if (started.length > 0) also = `; started with it: ${started.join(', ')}`;
    });
  } catch (error) {
    also = `; its containers could not all be started: ${messageOf(error)}`;
  }
  deps.tell(
    'daemon-restarted',
    `the docker daemon of "${target.name}" died${why} and was started again${also}`,
    target,
  );
}

/** Until the daemon ends. */
async function followContainers(target: RepoTarget, deps: WatchDeps): Promise<void> {
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
  while (!daemonEnded.aborted && !deps.signal.aborted) {
    try {
      const container = await lookAtContainer(socket, id);
      if (container === undefined || !container.unhealthy || !(await shouldBeUp(target, deps))) return;
      const what = `container ${container.name}`;
      const { enabled, restarts } = await deps.settings();
      if (!enabled) return;
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
      if (daemonEnded.aborted || deps.signal.aborted) return;
      deps.tell(
        'failed',
        `an unhealthy container of "${target.name}" could not be restarted: ${messageOf(error)}`,
        target,
      );
      return;
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
