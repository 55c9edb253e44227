// Runs a plan until reality agrees with it: observe; done -> "already"; else act and observe again until done or
// the step's patience ends. Decides nothing about repositories.
import { messageOf, RdcError } from '../protocol/errors.ts';
import type { PlanStep, Report } from '../protocol/events.ts';
import type { Action, Step } from './step.ts';
import { describeAction } from './step.ts';
import type { System } from './system.ts';
import { explainUnitFailure } from './unit-failure.ts';

const POLL_MS = 100;

export interface PlanRun<Facts> {
  system: System;
  /** Outlives a cancellation, after which `system` does nothing any more: undoes what a step has begun. Default: `system`. */
  undoing?: System;
  report: Report;
  /** `since`: what has been done since an earlier look of this run. Without it anything may have changed. */
  observe(since?: Since<Facts>): Promise<Facts>;
}

/** What systemd would say as it said at the look `before`, but for what is marked. */
export interface Since<Facts> {
  before: Facts;
  unitFiles: boolean;
  unitStates: boolean;
}

/** True when any step changed something. Throws the failing step's error after its undo. `first`: a look of just now. */
export async function converge<Facts>(
  steps: readonly Step<Facts>[],
  run: PlanRun<Facts>,
  first?: Facts,
): Promise<boolean> {
  let facts = first ?? (await run.observe());
  let hasChanged = false;
  for (const step of steps) {
    step.guard?.(facts);
    if (step.isDone(facts)) {
      run.report({ kind: 'step', id: step.id, title: step.title, state: 'already', detail: step.already });
      continue;
    }
    facts = await act(step, facts, run);
    hasChanged = true;
  }
  return hasChanged;
}

/** What a dry run shows; nothing is changed. A step after an unfinished one is judged on today's facts. */
export function planSteps<Facts>(steps: readonly Step<Facts>[], facts: Facts): PlanStep[] {
  return steps.map((step) => {
    step.guard?.(facts);
    if (step.unknowable) return { id: step.id, title: step.title, expect: 'unknown' as const };
    if (step.isDone(facts))
      return { id: step.id, title: step.title, expect: 'already' as const, already: step.already };
    const actions = step.actions(facts).map(describeAction);
    return { id: step.id, title: step.title, expect: 'change' as const, actions };
  });
}

async function act<Facts>(step: Step<Facts>, before: Facts, run: PlanRun<Facts>): Promise<Facts> {
  const { system, report } = run;
  const started = system.now();
  const event = (state: 'start' | 'done' | 'failed', detail?: string) =>
    report({
      kind: 'step',
      id: step.id,
      title: step.title,
      state,
      ...(state === 'start' ? {} : { ms: Math.round(system.now() - started) }),
      ...(detail === undefined ? {} : { detail }),
    });
  event('start');
  try {
    const actions = step.actions(before);
    for (const action of actions) await perform(system, action);
    const facts = await settle(step, { before, ...changed(step, actions) }, run);
    event('done');
    return facts;
  } catch (error) {
    const explained = await explain(step, error, before, system);
    event('failed', explained instanceof Error ? explained.message : String(explained));
    await undo(step, before, run);
    throw explained;
  }
}

async function explain<Facts>(step: Step<Facts>, error: unknown, facts: Facts, system: System): Promise<unknown> {
  if (step.explain !== undefined) return step.explain(error, facts);
  const isItsOwn = error instanceof RdcError && ['COMMAND_FAILED', 'STEP_NOT_VERIFIED'].includes(error.code);
  if (step.startsUnit === undefined || !isItsOwn) return error;
  return explainUnitFailure(system, step.startsUnit, step.title, error);
}

/** Units start and end by systemctl: no step waits for one that does so by itself. */
function changed<Facts>({ changesUnitFiles: unitFiles = false }: Step<Facts>, actions: readonly Action[]) {
  const asks = actions.some((action) => action.kind === 'run' && action.command.file === 'systemctl');
  return { unitFiles, unitStates: unitFiles || asks };
}

async function settle<Facts>(
  step: Step<Facts>,
  since: Since<Facts>,
  { system, observe }: PlanRun<Facts>,
): Promise<Facts> {
  const deadline = system.now() + (step.settleMs ?? 0);
  for (;;) {
    const facts = await observe(since);
    if (step.isDone(facts)) return facts;
    if (system.now() >= deadline) {
      throw new RdcError('STEP_NOT_VERIFIED', `"${step.title}" was carried out but cannot be seen to be done`, {
        cause: JSON.stringify(facts),
      });
    }
    await system.sleep(POLL_MS);
  }
}

async function undo<Facts>(step: Step<Facts>, facts: Facts, run: PlanRun<Facts>): Promise<void> {
  const { system, undoing = system, report } = run;
  for (const action of step.undo?.(facts) ?? []) {
    try {
      await perform(undoing, action);
    } catch (error) {
      const reason = messageOf(error);
      report({ kind: 'warning', message: `could not undo "${step.title}": ${describeAction(action)}: ${reason}` });
    }
  }
}

/** Performs one action through the port. */
export async function perform(system: System, action: Action): Promise<void> {
  switch (action.kind) {
    case 'run':
      await system.run(action.command);
      return;
    case 'write':
      return system.writeFile(action.path, action.text, action.mode);
    case 'remove':
      return system.remove(action.path);
    case 'makeDirectory':
      return system.makeDirectory(action.path, action.mode);
  }
}
