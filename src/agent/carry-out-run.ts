// One run from its handler's call to its result. Whatever a handler throws becomes a result; nothing is thrown from here.
import { toWireError } from '../protocol/errors.ts';
import type { PlanStep, RunEvent } from '../protocol/events.ts';
import type { RunOperation, RunResult } from '../protocol/operations.ts';
import type { Finished, RunContext, RunHandlers } from './handlers.ts';
import { cancellation } from './run-command.ts';

export interface RunWork {
  operation: RunOperation;
  input: unknown;
  handlers: RunHandlers;
  /** `report` keeps the event in the run's log. */
  context: RunContext;
  /** Ends what the run has started beside child processes. */
  endUnits(): Promise<void>;
}

/** In the result; all of them are in the log. */
const MOST_WARNINGS = 100;

export async function carryOutRun(work: RunWork): Promise<RunResult> {
  const { context } = work;
  const { run, signal } = context;
  const told = gather();
  const report = (event: RunEvent) => {
    told.note(event);
    context.report(event);
  };
  const result = await call(work, { ...context, report });
  const whole = { ...result, run, warnings: told.warnings, ...(context.dryRun ? { plan: told.plan } : {}) };
  if (!signal.aborted) return whole;
  // A client that was ended while it started a unit may have started it after all.
  await work.endUnits();
  if (result.outcome === 'done') return whole;
  const error = cancellation(signal);
  const outcome = error.code === 'CANCELLED' ? 'cancelled' : 'failed';
  return { run, outcome, warnings: told.warnings, error: toWireError(error) };
}

type End = Pick<RunResult, 'outcome' | 'output' | 'error'>;

async function call({ operation, input, handlers }: RunWork, context: RunContext): Promise<End> {
  // Input and handler belong to the same operation: the input was parsed with its schema.
  const handler = handlers[operation] as (input: unknown, context: RunContext) => Promise<Finished<unknown>>;
  try {
    const { outcome, output } = await handler(input, context);
    return { outcome, ...(output === undefined ? {} : { output }) };
  } catch (error) {
    return { outcome: 'failed', error: toWireError(error) };
  }
}

function gather() {
  const warnings: string[] = [];
  const plan: PlanStep[] = [];
  return {
    warnings,
    plan,
    note(event: RunEvent) {
      if (event.kind === 'warning' && warnings.length < MOST_WARNINGS) warnings.push(event.message);
      if (event.kind === 'plan') plan.push(...event.steps);
    },
  };
}
