// The runs of this daemon: locks, log, handler, result, in that order and back.
import { randomBytes } from 'node:crypto';
import { messageOf, RdcError } from '../protocol/errors.ts';
import type { RunId } from '../protocol/ids.ts';
import { OPERATIONS, type RunResult, type RunSummary } from '../protocol/operations.ts';
import { AskedOnce } from './asked-once.ts';
import { carryOutRun } from './carry-out-run.ts';
import { LiveRun, type RunOwner, type RunSource } from './live-run.ts';
import type { HeldLock, LockRequest } from './lock.ts';
import { OwedResults } from './owed-results.ts';
import { cancellation } from './run-command.ts';
import { type Following, followRun, storedRun } from './run-following.ts';
import { listRuns, recoverRuns } from './run-history.ts';
import { openRunLog, type RunLog } from './run-log.ts';
import { pruneRuns, RETENTION } from './run-retention.ts';
import type { RunStart, Runs, RunsDeps } from './runs.ts';
import { takeLocks } from './subject-locks.ts';
import { Wakeup } from './wakeup.ts';

/** Ended runs that are not on disk can be followed for a while: their follower may have lost its link. */
const MOST_REMEMBERED = 20;

export function createRuns(deps: RunsDeps): Runs {
  return new RunRegistry(deps);
}

class RunRegistry implements Runs {
  readonly #deps: RunsDeps;
  readonly #live = new Map<RunId, LiveRun>();
  /** Asked for, and not yet live: most wait for a lock. */
  readonly #beginning = new Set<Promise<RunId>>();
  /** Nothing begins any more. */
  #over: RdcError | undefined;
  readonly #remembered = new Map<RunId, RunSource>();
  readonly #owed: OwedResults;
  readonly #asked = new AskedOnce<RunId>();
  #pruning: Promise<void> = Promise.resolve();
  #isPruneDue = false;

  constructor(deps: RunsDeps) {
    this.#deps = deps;
    this.#owed = new OwedResults(deps.runsDir);
  }

  async start(request: RunStart): Promise<RunId> {
    const { options, signal } = request;
    return await this.#asked.answer(options.key, () => this.#counted(request), signal);
  }

  async #counted(request: RunStart): Promise<RunId> {
    const begin = this.#begin(request);
    this.#beginning.add(begin);
    return await begin.finally(() => this.#beginning.delete(begin));
  }

  async #begin(request: RunStart): Promise<RunId> {
    const { operation, input, options, actor } = request;
    const { runsDir, self, log: onTrouble } = this.#deps;
    const run = newRunId();
    const holder = { run, operation: OPERATIONS[operation].summary, actor };
    const { dryRun } = options;
    const { subjects, locks } = await this.#lock(request, holder);
    const wakeup = new Wakeup();
    const owner = { ...holder, since: Date.now() };
    const repo = subjects.find((subject) => subject.repo !== undefined)?.repo;
    const log = await openRunLog({
      directory: `${runsDir}/${run}`,
      request: { run, operation, repo, actor, startedAt: owner.since, input, owner: self },
      dryRun,
      onMore: () => wakeup.wake(),
      onTrouble,
    });
    const live = new LiveRun({ owner, keys: subjects.map(({ key }) => key), journal: log.journal, wakeup });
    this.#live.set(run, live);
    if (!dryRun) this.#deps.onBegan?.({ keys: live.keys });
    live.ended = this.#carryOut(request, live, log, locks);
    return run;
  }

  /** What a name stands for may have changed until its lock was taken: then that of the new one is. */
  async #lock({ operation, input, options, signal, onWait }: RunStart, owner: LockRequest['owner']) {
    const until = performance.now() + options.waitMs;
    for (;;) {
      const subjects = await this.#deps.subjectsOf(operation, input);
      if (options.dryRun) return { subjects, locks: [] };
      const waitMs = Math.max(0, Math.round(until - performance.now()));
      const locks = await takeLocks(this.#deps.lockDir, subjects, { owner, waitMs, signal, onWait });
      try {
        if (this.#over !== undefined) throw this.#over;
        // Whoever waited has gone, just as it came free.
        if (signal?.aborted) throw cancellation(signal);
        await this.#endOfThoseBefore(subjects);
        const now = await this.#deps.subjectsOf(operation, input);
        if (now.map(({ key }) => key).join() === subjects.map(({ key }) => key).join()) return { subjects, locks };
      } catch (error) {
        for (const lock of locks.toReversed()) await this.#release(lock);
        throw error;
      }
      for (const lock of locks.toReversed()) await this.#release(lock);
    }
  }

  /** Its lock is free as soon as the process that holds it for us is killed; what it was doing has not ended then. */
  async #endOfThoseBefore(subjects: readonly { key: string }[]): Promise<void> {
    const keys = subjects.map(({ key }) => key);
    const before = [...this.#live.values()].filter((run) => run.keys.some((key) => keys.includes(key)));
    await Promise.all(before.map((run) => run.ended));
  }

  async #carryOut({ operation, input, options, actor }: RunStart, live: LiveRun, log: RunLog, locks: HeldLock[]) {
    const { run } = live.owner;
    const { signal } = live.controller;
    for (const lock of locks) lock.onLost(() => this.#abort(live, lockLost(run)));
    const result = await carryOutRun({
      operation,
      input,
      handlers: this.#deps.handlers,
      context: {
        run,
        actor,
        dryRun: options.dryRun,
        signal,
        system: this.#deps.createSystem(signal),
        undoing: this.#deps.createSystem(new AbortController().signal),
        report: (event) => log.journal.append(event),
      },
      endUnits: () => this.#endUnits(run),
    });
    const isOnDisk = await log.keep(result);
    // Before anybody learns that it has ended: the next command must find the repository free.
    for (const lock of locks.toReversed()) await this.#release(lock);
    if (!isOnDisk) this.#remember(run, live);
    if (!isOnDisk && log.hasDirectory) this.#owed.add(result, Date.now());
    this.#live.delete(run);
    live.end(result);
    if (!options.dryRun) this.#deps.onEnded?.({ operation, actor, keys: live.keys, result });
    this.#prune();
  }

  async follow(run: RunId, following: Following): Promise<RunResult> {
    const source = this.#live.get(run) ?? (await this.#ended(run));
    if (source === undefined) throw noSuchRun(run);
    return followRun(source, following);
  }

  async cancel(run: RunId, actor: string): Promise<boolean> {
    const live = this.#live.get(run);
    if (live === undefined) return this.#refuseToCancel(run);
    this.#abort(live, new RdcError('CANCELLED', `run ${run} was cancelled by ${actor}`));
    return true;
  }

  cancelAll(why: RdcError): void {
    this.#over = why;
    for (const live of this.#live.values()) this.#abort(live, why);
  }

  #abort({ controller, owner }: LiveRun, why: RdcError): void {
    controller.abort(why);
    // Ending the client alone would leave the unit; the run itself waits until it is gone.
    void this.#endUnits(owner.run);
  }

  async #refuseToCancel(run: RunId): Promise<false> {
    const source = await this.#ended(run);
    if (source === undefined) throw noSuchRun(run);
    if ((await source.result()) !== undefined) return false;
    throw new RdcError('FAILED', `run ${run} belongs to an agent that is being replaced and ends when its runs have`);
  }

  /** Or of another daemon. */
  async #ended(run: RunId): Promise<RunSource | undefined> {
    const remembered = this.#remembered.get(run);
    if (remembered !== undefined) return remembered;
    const stored = await storedRun(this.#deps.runsDir, run);
    const owed = this.#owed.get(run);
    return stored === undefined || owed === undefined ? stored : { ...stored, result: async () => owed };
  }

  busy(key: string): RunOwner | undefined {
    return [...this.#live.values()].find((run) => run.keys.includes(key))?.owner;
  }

  async list(limit: number): Promise<RunSummary[]> {
    return (await listRuns(this.#deps.runsDir, limit)).map((summary) => this.#owed.correct(summary));
  }

  active(): number {
    return this.#live.size + this.#beginning.size;
  }

  async settle(): Promise<void> {
    while (this.active() > 0) {
      await Promise.allSettled([...this.#beginning, ...[...this.#live.values()].map((run) => run.ended)]);
    }
    await this.#pruning;
  }

  async recover(): Promise<void> {
    const { runsDir, log, unitRuns } = this.#deps;
    await recoverRuns(runsDir, { unitRuns, endUnits: (run) => this.#endUnits(run), onTrouble: log });
    this.#prune();
  }

  async #endUnits(run: RunId): Promise<void> {
    await this.#deps.endUnits(run).catch((error: unknown) => {
      this.#deps.log(`the units of run ${run} cannot be ended: ${messageOf(error)}`);
    });
  }

  async #release(lock: HeldLock): Promise<void> {
    await lock.release().catch((error: unknown) => this.#deps.log(`a lock cannot be released: ${String(error)}`));
  }

  #remember(run: RunId, live: LiveRun): void {
    this.#remembered.set(run, live);
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > MOST_REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
  }

  /** One at a time, and one more for all that end meanwhile. */
  #prune(): void {
    if (this.#isPruneDue) return;
    this.#isPruneDue = true;
    this.#pruning = this.#pruning
      .then(() => {
        this.#isPruneDue = false;
        return this.#owed.settle();
      })
      .then(() => pruneRuns(this.#deps.runsDir, RETENTION))
      .catch((error: unknown) => this.#deps.log(`old runs cannot be removed: ${String(error)}`));
  }
}

function lockLost(run: RunId): RdcError {
  return new RdcError('FAILED', `run ${run} was stopped: the process that held its lock was killed`);
}

function noSuchRun(run: RunId): RdcError {
  return new RdcError('NOT_FOUND', `there is no run ${run} on this machine`, { hint: 'rdc run list' });
}

function newRunId(): RunId {
  return `${Date.now().toString(16).padStart(12, '0')}-${randomBytes(4).toString('hex')}` as RunId;
}
