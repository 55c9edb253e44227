// One handler per operation: a mapped type over the registry, so a missing one does not compile.

import type { System } from '../lifecycle/system.ts';
import type { Report } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import type { InputOf, OutputOf, QueryOperation, RunOperation } from '../protocol/operations.ts';

export interface QueryContext {
  system: System;
}

export interface RunContext extends QueryContext {
  run: RunId;
  actor: string;
  /** Plan only: report a plan event, change nothing, return no output. */
  dryRun: boolean;
  /** Where steps, output and warnings go; the run registry numbers and keeps them. */
  report: Report;
  /** Aborted when the run is cancelled; `system` already kills its child processes then. */
  signal: AbortSignal;
  /** Outlives the cancellation: only for undoing what was begun. */
  undoing: System;
}

export interface Finished<O> {
  outcome: 'done' | 'partial' | 'planned';
  /** Absent only when planned. */
  output?: O;
}

export type QueryHandlers = {
  [K in QueryOperation]: (input: InputOf<K>, context: QueryContext) => Promise<OutputOf<K>>;
};
export type RunHandlers = {
  [K in RunOperation]: (input: InputOf<K>, context: RunContext) => Promise<Finished<OutputOf<K>>>;
};
export type Handlers = QueryHandlers & RunHandlers;
