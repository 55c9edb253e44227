// machine prune: removes what is provably ours and dead. Everything of a repository is judged once more under its lock, so
// that nothing of a command that is being carried out is taken; what is not proven to be dead is told and left.
import { describeLeftover, type Leftover, leftoverId, MACHINE } from '../lifecycle/leftover.ts';
import { perform } from '../lifecycle/run-plan.ts';
import { describeAction } from '../lifecycle/step.ts';
import { isCode, messageOf, RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { findAllLeftovers, findLeftovers, lockKeys } from './find-leftovers.ts';
import type { Finished, RunContext } from './handlers.ts';
import { isPresent } from './leftover-presence.ts';
import { requireMachine } from './machine-record.ts';
import { reportedStep } from './reported-step.ts';
import { takeLocks } from './subject-locks.ts';

type Output = OutputOf<'machine.prune'>;

/** What is removed may go only when its last user has (loop(4), LO_FLAGS_AUTOCLEAR). */
const SETTLE_MS = 5_000;
const POLL_MS = 200;

interface Work {
  context: RunContext;
  datastore: string;
  lockDir: string;
  /** Names what a person has seen and agreed to; absent: all. */
  only: ReadonlySet<string> | undefined;
}

interface Pruned {
  removed: Leftover[];
  failed: Output['failed'];
}

export async function pruneMachine(
  { only }: InputOf<'machine.prune'>,
  context: RunContext,
  { lockDir }: { lockDir: string },
): Promise<Finished<Output>> {
  const { system, report, dryRun } = context;
  const { datastore } = await requireMachine(system);
  const found = await findLeftovers(system, datastore, lockDir);
  // Whoever names things has seen the list.
  for (const left of only === undefined ? found.filter(({ removal }) => removal === undefined) : []) {
    const message = `${describeLeftover(left)} is left alone: ${left.because}`;
    report({ kind: 'warning', message, ...(left.fix === undefined ? {} : { hint: left.fix }) });
  }
  const work: Work = { context, datastore, lockDir, only: only === undefined ? undefined : new Set(only) };
  const due = dueOf(work, found);
  if (dryRun) {
    report({ kind: 'plan', steps: due.map(planStep) });
    return { outcome: 'planned' };
  }
  const pruned: Pruned = { removed: [], failed: [] };
  for (const subject of new Set(due.map((leftover) => leftover.subject))) {
    await pruneSubject(work, subject, pruned);
  }
  const { removed, failed } = pruned;
  const output: Output = {
    removed: removed.map(told),
    left: found.filter(({ removal }) => removal === undefined).map(told),
    failed,
    changed: removed.length > 0,
  };
  return { outcome: failed.length === 0 ? 'done' : 'partial', output };
}

function dueOf({ only }: Work, found: readonly Leftover[]): Leftover[] {
  return found.filter((one) => one.removal !== undefined && (only === undefined || only.has(leftoverId(one))));
}

function planStep(leftover: Leftover) {
  const actions = (leftover.removal ?? []).map(describeAction);
  const title = `remove ${describeLeftover(leftover)}: dead because ${leftover.because}`;
  return { id: leftoverId(leftover), title, expect: 'change' as const, actions };
}

async function pruneSubject(work: Work, subject: string, pruned: Pruned): Promise<void> {
  const { context, lockDir } = work;
  const { run, actor, signal } = context;
  const owner = { run, operation: 'machine prune', actor };
  const subjects = lockKeys(subject).map((key) => ({ key, subject: 'what is left over of a repository' }));
  const locks = await takeLocks(lockDir, subjects, { owner, waitMs: 0, signal }).catch((error: unknown) => {
    if (!isCode(error, 'BUSY')) throw error;
    // Somebody has begun to work with it since it was found: it is not left over.
    return undefined;
  });
  if (locks === undefined) return;
  try {
    await removeAll(work, subject, pruned);
  } finally {
    for (const lock of locks.toReversed()) await lock.release();
  }
}

/** Each stands on those after it: where one cannot be removed, the rest of its repository or network id stays. */
async function removeAll(work: Work, subject: string, { removed, failed }: Pruned): Promise<void> {
  const obstacles = new Map<string, string>();
  for (const leftover of await stillDue(work, subject)) {
    const { group = subject } = leftover;
    const where = describeLeftover(leftover);
    const obstacle = obstacles.get(group);
    if (obstacle !== undefined) {
      failed.push({ where, reason: `not tried: ${obstacle} is still there` });
      continue;
    }
    // No lock keeps anybody from giving a network id to a repository meanwhile.
    if (subject === MACHINE && !(await stillDue(work, subject)).some((one) => leftoverId(one) === leftoverId(leftover)))
      continue;
    try {
      await removeOne(work, leftover);
      removed.push(leftover);
    } catch (error) {
      if (work.context.signal.aborted) throw error;
      failed.push({ where, reason: messageOf(error) });
      obstacles.set(group, where);
    }
  }
}

async function stillDue(work: Work, subject: string): Promise<Leftover[]> {
  const all = await findAllLeftovers(work.context.system, work.datastore);
  return dueOf(
    work,
    all.filter((one) => one.subject === subject),
  );
}

async function removeOne({ context }: Work, leftover: Leftover): Promise<void> {
  const { system } = context;
  const step = { id: leftoverId(leftover), title: `remove ${describeLeftover(leftover)}` };
  const remove = async () => {
    // It may have gone with something before it.
    if (!(await isPresent(system, leftover))) return;
    for (const action of leftover.removal ?? []) await perform(system, action);
    const deadline = system.now() + SETTLE_MS;
    while (await isPresent(system, leftover)) {
      if (system.now() >= deadline) throw new RdcError('STEP_NOT_VERIFIED', 'it is still there: something uses it');
      await system.sleep(POLL_MS);
    }
  };
  await reportedStep(context, step, remove, () => `dead because ${leftover.because}`);
}

function told({ kind, what, repo, because, fix }: Leftover): Output['removed'][number] {
  return { kind, what, because, ...(repo === undefined ? {} : { repo }), ...(fix === undefined ? {} : { fix }) };
}
