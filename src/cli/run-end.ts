// How the end of a run that was watched is told: what a command goes on with, or the error it ends with.
import { fromWireError, RdcError, type WireError } from '../protocol/errors.ts';
import type { PlanStep } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import type { RunResult } from '../protocol/operations.ts';
import type { MachineTarget } from './target.ts';

/** A run's end as it arrives. */
export type Result<O> = Omit<RunResult, 'output'> & { output?: O | undefined };

export interface RunEnd<O> {
  run: RunId;
  /** "detached": it was started and goes on. */
  outcome: 'done' | 'partial' | 'planned' | 'detached';
  /** There when it is done or partial. */
  output: O | undefined;
  plan: PlanStep[];
  warnings: string[];
}

/** Throws the run's own error for everything but "done", "partial" and "planned". */
export function judge<O>(result: Result<O> | 'detached', drawn: PlanStep[]): RunEnd<O> {
  if (result === 'detached') throw interrupted();
  const { run, outcome, output, warnings, plan = drawn } = result;
  if (outcome === 'done' || outcome === 'partial' || outcome === 'planned') {
    return { run, outcome, output, plan, warnings };
  }
  if (result.error !== undefined) throw fromWireError(result.error as WireError);
  const code = outcome === 'cancelled' ? 'CANCELLED' : 'FAILED';
  throw new RdcError(code, `the run ${outcome === 'cancelled' ? 'was cancelled' : outcome}`, {
    hint: `rdc run logs ${run}`,
  });
}

export function leftAlone(machine: MachineTarget, run: RunId): RdcError {
  return new RdcError('INTERRUPTED', `stopped following; the run goes on on "${machine.name}"`, {
    hint: `rdc run attach ${run} -m ${machine.name}`,
  });
}

/** The run goes on, and nobody can reach it now to cancel it. */
export function outOfReach(machine: MachineTarget, run: RunId): RdcError {
  return new RdcError('CONNECTION_LOST', `the connection to "${machine.name}" was lost; the run goes on there`, {
    hint: `rdc run cancel ${run} -m ${machine.name}`,
  });
}

/** The request is on its way, and nobody has said yet what became of it. */
export function perhapsBegun(machine: MachineTarget): RdcError {
  return new RdcError('INTERRUPTED', `interrupted; the run may have begun on "${machine.name}" all the same`, {
    hint: `rdc run list -m ${machine.name}`,
  });
}

export function interrupted(): RdcError {
  return new RdcError('INTERRUPTED', 'interrupted');
}
