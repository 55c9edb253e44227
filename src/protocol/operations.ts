// The one contract of both programs. The CLI parses its arguments into `input` before any SSH; the agent parses
// the request with `input`; the reply is parsed with `output`. Handlers in the agent are a mapped type over this
// registry, so a missing handler does not compile.
import * as z from 'zod';
import {
  type checkSchema,
  outcomeSchema,
  type repoStatusSchema,
  type repoSummarySchema,
  type runSummarySchema,
  type serviceSchema,
} from './answers.ts';
import { planStepSchema } from './events.ts';
import { runIdSchema } from './ids.ts';
import { MACHINE_OPERATIONS } from './machine-operations.ts';
import { REPO_OPERATIONS } from './repo-operations.ts';
import { wireErrorSchema } from './wire-error.ts';

export const OPERATIONS = { ...MACHINE_OPERATIONS, ...REPO_OPERATIONS } as const;

/** How a run is asked for, beside its input. */
export const runOptionsSchema = z.object({
  dryRun: z.boolean().default(false),
  /** Milliseconds to wait for a busy repository; 0: refuse at once with BUSY. */
  waitMs: z.number().int().min(0).default(0),
  /** Made up by who asks: asked again with the same one, as after a lost link, the run that there is already is followed. */
  key: z.uuid().optional(),
});

/** How a run ended. `output` is there when it is done or partial. */
export const runResultSchema = z.object({
  run: runIdSchema,
  outcome: outcomeSchema,
  output: z.unknown().optional(),
  plan: z.array(planStepSchema).optional(),
  warnings: z.array(z.string()),
  error: wireErrorSchema.optional(),
});

export type OperationName = keyof typeof OPERATIONS;
type Named<Changes extends boolean> = {
  [K in OperationName]: (typeof OPERATIONS)[K]['changes'] extends Changes ? K : never;
}[OperationName];
export type InputOf<K extends OperationName> = z.output<(typeof OPERATIONS)[K]['input']>;
/** What the caller writes: defaults may be left out. */
export type RequestOf<K extends OperationName> = z.input<(typeof OPERATIONS)[K]['input']>;
export type OutputOf<K extends OperationName> = z.output<(typeof OPERATIONS)[K]['output']>;
export type RunOperation = Named<true>;
export type QueryOperation = Named<false>;
export type RepoSummary = z.infer<typeof repoSummarySchema>;
export type RepoStatus = z.infer<typeof repoStatusSchema>;
export type Service = z.infer<typeof serviceSchema>;
export type Check = z.infer<typeof checkSchema>;
export type RunSummary = z.infer<typeof runSummarySchema>;
export type RunOptions = z.infer<typeof runOptionsSchema>;
export type RunResult = z.infer<typeof runResultSchema>;
export type Outcome = z.infer<typeof outcomeSchema>;
