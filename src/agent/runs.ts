// The runs of this daemon. A run belongs to the daemon, not to the connection that asked for it: it goes on when the
// follower is gone, and any number of followers read it from any event on.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError, toWireError } from '../protocol/errors.ts';
import type { JournalEvent, PlanStep } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import {
  OPERATIONS,
  type RunOperation,
  type RunOptions,
  type RunResult,
  type RunSummary,
} from '../protocol/operations.ts';
import type { Finished, RunContext, RunHandlers } from './handlers.ts';
import { createJournal, type Journal, openEventReader, readRequest, readResult, writeResult } from './journal.ts';
import { acquireLock, type HeldLock, type LockOwner } from './lock.ts';
import { pruneRuns } from './run-retention.ts';

export interface RunSubject {
  key: string;
  subject: string;
  /** Name of the repository, for lists. */
  repo?: string;
}

export interface RunsDeps {
  handlers: RunHandlers;
  runsDir: string;
  lockDir: string;
  createSystem(signal: AbortSignal): System;
  /** What a run's input locks. Throws NOT_FOUND for a repository that is not there. */
  subjectsOf(operation: RunOperation, input: unknown): Promise<RunSubject[]>;
}

export interface RunStart {
  operation: RunOperation;
  input: z.output<z.ZodType>;
  options: RunOptions;
  actor: string;
}

interface LiveRun {
  journal: Journal;
  owner: LockOwner;
  keys: string[];
  controller: AbortController;
  ended: Promise<RunResult>;
}

export function createRuns(deps: RunsDeps) {
  const live = new Map<RunId, LiveRun>();
  const directoryOf = (run: RunId) => `${deps.runsDir}/${run}`;

  /** Takes the locks, then begins; resolves with the id as soon as the run exists. Throws BUSY, NOT_FOUND, INVALID_INPUT before that. */
  async function start({ operation, input, options, actor }: RunStart): Promise<RunId> {
    const run = newRunId();
    const owner: LockOwner = { run, operation: OPERATIONS[operation].summary, actor, since: Date.now() };
    const subjects = await deps.subjectsOf(operation, input);
    const locks = options.dryRun ? [] : await takeLocks(subjects, owner, options.waitMs);
    const repo = subjects.find((subject) => subject.repo !== undefined)?.repo;
    const daemon = { pid: process.pid, bootId: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim() };
    const request = {
      run,
      operation,
      ...(repo === undefined ? {} : { repo }),
      actor,
      startedAt: owner.since,
      input,
      daemon,
    };
    const journal = await createJournal(directoryOf(run), request);
    const controller = new AbortController();
    const ended = execute({ run, operation, input, options, actor, journal, controller }).finally(async () => {
      for (const lock of locks.toReversed()) await lock.release();
      live.delete(run);
      await pruneRuns(deps.runsDir, new Set(live.keys()));
    });
    live.set(run, { journal, owner, keys: subjects.map(({ key }) => key), controller, ended });
    return run;
  }

  async function takeLocks(subjects: readonly RunSubject[], owner: LockOwner, waitMs: number): Promise<HeldLock[]> {
    const held: HeldLock[] = [];
    try {
      for (const { key, subject } of subjects)
        held.push(await acquireLock({ directory: deps.lockDir, key, subject, owner, waitMs }));
      return held;
    } catch (error) {
      for (const lock of held) await lock.release();
      throw error;
    }
  }

  async function execute({
    run,
    operation,
    input,
    options,
    actor,
    journal,
    controller,
  }: RunStart & { run: RunId; journal: Journal; controller: AbortController }): Promise<RunResult> {
    const { signal } = controller;
    const warnings: string[] = [];
    const plan: PlanStep[] = [];
    const report: RunContext['report'] = (event) => {
      if (event.kind === 'warning') warnings.push(event.message);
      if (event.kind === 'plan') plan.push(...event.steps);
      journal.append(event);
    };
    const context: RunContext = {
      system: deps.createSystem(signal),
      run,
      actor,
      dryRun: options.dryRun,
      report,
      signal,
    };
    const handler = deps.handlers[operation] as (input: unknown, context: RunContext) => Promise<Finished<unknown>>;
    let result: RunResult;
    try {
      const { outcome, output } = await handler(input, context);
      result = { run, outcome, output, warnings, ...(options.dryRun ? { plan } : {}) };
    } catch (error) {
      result = { run, outcome: signal.aborted ? 'cancelled' : 'failed', warnings, error: toWireError(error) };
    }
    await journal.finish(result);
    return result;
  }

  /** Gives every event after `after`, in order and once, then how the run ended. */
  async function follow(
    run: RunId,
    after: number,
    onEvent: (event: JournalEvent) => Promise<void>,
  ): Promise<RunResult> {
    const directory = directoryOf(run);
    if ((await readRequest(directory)) === undefined)
      throw new RdcError('NOT_FOUND', `there is no run ${run} on this machine`, { hint: 'rdc run list' });
    const reader = await openEventReader(directory);
    try {
      for (;;) {
        const current = live.get(run);
        // Asked for before reading: what comes while we read must wake us.
        const more =
          current === undefined
            ? undefined
            : Promise.race([once(current.journal.wakeups, 'event'), once(current.journal.wakeups, 'end')]);
        const result = await readResult(directory);
        for (let events = await reader.next(); events.length > 0; events = await reader.next()) {
          for (const event of events) if (event.seq > after) await onEvent(event);
        }
        if (result !== undefined) return result;
        if (more === undefined) return interrupted(run);
        await more;
      }
    } finally {
      await reader.close();
    }
  }

  return {
    start,
    follow,
    /** Aborts the run; its function units are stopped, since ending their client alone would leave them. */
    async cancel(run: RunId): Promise<boolean> {
      const current = live.get(run);
      if (current === undefined) return false;
      current.controller.abort();
      const stop = { ...command('systemctl', 'stop', `rediacc-function-*-${run}-*`), allow: [1, 5] };
      await deps.createSystem(new AbortController().signal).run(stop);
      return true;
    },
    busy: (key: string): LockOwner | undefined => [...live.values()].find((run) => run.keys.includes(key))?.owner,
    active: () => live.size,
    async settle(): Promise<void> {
      await Promise.all([...live.values()].map((run) => run.ended));
    },
    /** At start: runs without a result belonged to a daemon that is gone. */
    async markInterrupted(): Promise<void> {
      await mkdir(deps.runsDir, { recursive: true, mode: 0o700 });
      for (const run of (await readdir(deps.runsDir)) as RunId[]) {
        if (
          live.has(run) ||
          (await readResult(directoryOf(run))) !== undefined ||
          (await readRequest(directoryOf(run))) === undefined
        )
          continue;
        await writeResult(directoryOf(run), interrupted(run));
      }
    },
    list: (limit: number) => listRuns(deps.runsDir, limit),
  };
}

export type Runs = ReturnType<typeof createRuns>;

async function listRuns(runsDir: string, limit: number): Promise<RunSummary[]> {
  const names = ((await readdir(runsDir)) as RunId[]).sort().reverse().slice(0, limit);
  const found = await Promise.all(
    names.map(async (run): Promise<RunSummary | undefined> => {
      const request = await readRequest(`${runsDir}/${run}`);
      if (request === undefined) return undefined;
      const result = await readResult(`${runsDir}/${run}`);
      return {
        run,
        operation: request.operation,
        ...(request.repo === undefined ? {} : { repo: request.repo }),
        actor: request.actor,
        startedAt: request.startedAt,
        outcome: result?.outcome ?? 'running',
        ...(result?.error === undefined ? {} : { message: result.error.message }),
      };
    }),
  );
  return found.filter((run) => run !== undefined);
}

function interrupted(run: RunId): RunResult {
  const error = {
    code: 'FAILED',
    message: `run ${run} was interrupted: the agent ended before it did`,
    hint: 'repeat the command: it continues from what is',
  };
  return { run, outcome: 'interrupted', warnings: [], error };
}

function newRunId(): RunId {
  return `${Date.now().toString(16).padStart(12, '0')}-${randomBytes(4).toString('hex')}` as RunId;
}
