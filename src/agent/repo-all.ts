// repo up-all and down-all: one run that starts a run for each repository, so that every repository has its own lock, log and
// end, and one that fails never stops the others.
import pLimit from 'p-limit';
import { RdcError } from '../protocol/errors.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { Guid, RepoName, RunId } from '../protocol/ids.ts';
import type { InputOf, OutputOf, RepoSummary, RunOperation, RunResult } from '../protocol/operations.ts';
import type { Finished, QueryContext, RunContext, RunHandlers } from './handlers.ts';
import type { DamagedRecord } from './repo-store.ts';
import { cancellation } from './run-command.ts';
import type { Runs } from './runs.ts';

export type ChildRuns = Pick<Runs, 'start' | 'follow' | 'cancel' | 'list'>;

export interface AllDeps {
  runs: ChildRuns;
  listRepos(context: QueryContext): Promise<RepoSummary[]>;
  /** What listRepos() cannot tell of. */
  damaged(context: QueryContext): Promise<DamagedRecord[]>;
  /** The machine itself can open the repository. */
  hasKeyFile(context: QueryContext, guid: Guid): Promise<boolean>;
}

type AllOutput = OutputOf<'repo.up-all'>;
export type Row = AllOutput['repositories'][number];

/** What is to be done with one repository. */
type Order =
  | { operation: RunOperation; input: { repo: Guid } & Record<string, unknown> }
  | { result: 'already' | 'skipped'; reason: string };

export function createAllHandlers(deps: AllDeps): Pick<RunHandlers, 'repo.up-all' | 'repo.down-all'> {
  return {
    'repo.up-all': async (input, context) => {
      const listed = await deps.listRepos(context);
      const due = listed.filter(({ parent }) => input.includeForks || parent === undefined);
      const orders = await Promise.all(
        due.map(async (repo) => upOrder(repo, input, await deps.hasKeyFile(context, repo.guid))),
      );
      return withDamaged(deps, context, await carryOutAll(due, orders, { ...input, context, runs: deps.runs }));
    },
    'repo.down-all': async (input, context) => {
      const due = (await deps.listRepos(context)).toReversed();
      const orders = due.map((repo) => downOrder(repo, input));
      return withDamaged(deps, context, await carryOutAll(due, orders, { ...input, context, runs: deps.runs }));
    },
  };
}

async function withDamaged(
  { damaged }: Pick<AllDeps, 'damaged'>,
  context: RunContext,
  finished: Finished<AllOutput>,
): Promise<Finished<AllOutput>> {
  const rows = (await damaged(context)).map(damagedRow);
  if (rows.length === 0) return finished;
  for (const { reason = '' } of rows) context.report({ kind: 'warning', message: reason });
  const { outcome, output } = finished;
  return outcome === 'planned'
    ? finished
    : { outcome: 'partial', output: { repositories: [...(output?.repositories ?? []), ...rows] } };
}

/** Its name is nobody's knowledge any more. */
export function damagedRow({ guid, error }: DamagedRecord): Row {
  return { name: guid as string as RepoName, guid, result: 'failed', reason: error.message, ms: 0 };
}

/** What is being changed is not "already" what it looks like just now: the run that waits for it, or is refused, tells. */
function upOrder(
  { guid, state, busy }: RepoSummary,
  { credentials, mountOnly, timeoutMs }: InputOf<'repo.up-all'>,
  hasKeyFile: boolean,
): Order {
  const isQuiet = busy === undefined;
  if (state === 'up' && isQuiet) return { result: 'already', reason: 'it is up' };
  if (mountOnly && isQuiet && state !== 'closed' && state !== 'broken')
    return { result: 'already', reason: 'it is open' };
  const credential = credentials[guid];
  if (state === 'closed' && credential === undefined && !hasKeyFile) {
    return { result: 'skipped', reason: 'no credential' };
  }
  if (mountOnly) return { operation: 'repo.mount', input: { repo: guid, credential } };
  return { operation: 'repo.up', input: { repo: guid, credential, mount: true, prepOnly: false, timeoutMs } };
}

function downOrder({ guid, state, busy }: RepoSummary, { unmount, timeoutMs }: InputOf<'repo.down-all'>): Order {
  const isQuiet = busy === undefined;
  if (state === 'closed' && isQuiet) return { result: 'already', reason: 'it is closed' };
  if (state === 'mounted' && isQuiet && !unmount) return { result: 'already', reason: 'no service is running' };
  return { operation: 'repo.down', input: { repo: guid, unmount, timeoutMs } };
}

export interface Terms {
  waitMs: number;
  context: RunContext;
  runs: ChildRuns;
}

async function carryOutAll(
  repos: readonly RepoSummary[],
  orders: readonly Order[],
  { concurrency, ...terms }: Terms & { concurrency: number },
): Promise<Finished<AllOutput>> {
  const { context } = terms;
  const pairs = repos.map((repo, index) => ({ repo, order: orders[index] as Order }));
  if (context.dryRun) {
    context.report({ kind: 'plan', steps: pairs.map(planned) });
    return { outcome: 'planned' };
  }
  const limit = pLimit(concurrency);
  const rows = await Promise.all(pairs.map(({ repo, order }) => limit(() => carryOutOne(repo, order, terms))));
  if (context.signal.aborted) throw cancellation(context.signal);
  return { outcome: outcomeOf(rows), output: { repositories: rows.map(({ code: _, ...row }) => row) } };
}

export function outcomeOf(rows: readonly Row[]): 'done' | 'partial' {
  return rows.every(({ result }) => result === 'done' || result === 'already') ? 'done' : 'partial';
}

function planned({ repo: { guid, name }, order }: { repo: RepoSummary; order: Order }) {
  const id = `repo.${guid}`;
  if ('operation' in order) {
    const verb = { 'repo.up': 'start', 'repo.mount': 'open' }[order.operation as string] ?? 'stop';
    return { id, title: `${verb} "${name}"`, expect: 'change' as const };
  }
  return { id, title: `"${name}"`, expect: 'already' as const, already: order.reason };
}

/** One repository, with a run of its own; whatever goes wrong is in the row. */
export async function carryOutOne(
  { name, guid }: RepoSummary,
  order: Order,
  terms: Terms,
): Promise<Row & { code?: string }> {
  const { context } = terms;
  const step = { kind: 'step', id: `repo.${guid}`, title: name } as const;
  const row = { name, guid };
  if (!('operation' in order)) {
    const detail = order.result === 'already' ? `${name}: ${order.reason}` : order.reason;
    context.report({ ...step, state: order.result, detail });
    return { ...row, ...order, ms: 0 };
  }
  if (context.signal.aborted) return { ...row, result: 'skipped', reason: 'cancelled', ms: 0 };
  context.report({ ...step, state: 'start' });
  const startedAt = performance.now();
  const end = await childRun(order.operation, order.input, step.id, terms);
  const ms = Math.round(performance.now() - startedAt);
  const isDone = end.result === 'done';
  const detail = end.reason === undefined ? {} : { detail: end.reason };
  context.report({ ...step, state: isDone ? 'done' : 'failed', ms, ...detail });
  return { ...row, ...end, ms };
}

type End = Omit<Row, 'name' | 'guid' | 'ms'> & { code?: string };

async function childRun(
  operation: RunOperation,
  input: unknown,
  id: string,
  { context, runs, waitMs }: Terms,
): Promise<End> {
  const { actor, signal, report } = context;
  let run: RunId;
  try {
    run = await runs.start({ operation, input, options: { dryRun: false, waitMs }, actor, signal });
  } catch (error) {
    if (error instanceof RdcError) return { result: 'failed', reason: error.message, code: error.code };
    return { result: 'failed', reason: String(error) };
  }
  // Ending the whole ends its parts; each is still followed until it has ended.
  const cancel = () => void runs.cancel(run, actor).catch(() => undefined);
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    const onEvents = async (events: { event: RunEvent }[]) => {
      const begun = events.flatMap(({ event }) => (event.kind === 'step' && event.state === 'start' ? [event] : []));
      const last = begun.at(-1);
      if (last !== undefined) report({ kind: 'phase', id, text: last.title });
    };
    return endOf(await runs.follow(run, { after: 0, onEvents }));
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

function endOf({ run, outcome, output, error }: RunResult): End {
  const { services, failed = [], directories } = (output ?? {}) as Partial<OutputOf<'repo.up'>>;
  const count = services === undefined ? {} : { services: services.length };
  if (outcome === 'done') {
    const nothing = directories?.length === 0 ? { reason: 'it has no Rediaccfile: nothing was started' } : {};
    return { result: 'done', run, ...count, ...nothing };
  }
  if (outcome === 'partial') {
    return { result: 'partial', run, ...count, reason: `${failed.map(({ where }) => where).join(', ')} failed` };
  }
  const code = error === undefined ? {} : { code: error.code };
  return { result: 'failed', run, reason: error?.message ?? outcome, ...code };
}
