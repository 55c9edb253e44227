// What happens inside a run, as facts. Drawing them is the CLI's business; keeping them is the run journal's.
import * as z from 'zod';
import { runIdSchema } from './ids.ts';

export const planStepSchema = z.object({
  /** Stable id such as "volume.open". */
  id: z.string(),
  /** What a person reads: "open the encrypted volume". */
  title: z.string(),
  /** What a dry run predicts. "unknown": can be told only once an earlier step has run. */
  expect: z.enum(['change', 'already', 'always', 'unknown']),
  /** Why there is nothing to do: "the volume is open". */
  already: z.string().optional(),
  /** The actions in words, for --dry-run -v; never with a secret. */
  actions: z.array(z.string()).optional(),
});

export const runEventSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('plan'), steps: z.array(planStepSchema) }),
  z.object({
    kind: z.literal('step'),
    id: z.string(),
    title: z.string(),
    state: z.enum(['start', 'done', 'already', 'failed', 'skipped']),
    ms: z.number().optional(),
    detail: z.string().optional(),
  }),
  /** One line (or the part of it that has come so far) of a Rediaccfile function or a tool. */
  z.object({
    kind: z.literal('output'),
    /** Where it came from, e.g. "root up" or "backend prep". */
    source: z.string(),
    stream: z.enum(['stdout', 'stderr']),
    text: z.string(),
    /** The line goes on in the next output of this source and stream, which may be empty: then it was the line end. */
    partial: z.literal(true).optional(),
    /** Base64 of the bytes as they were, where they are no UTF-8. */
    raw: z.string().optional(),
  }),
  z.object({
    kind: z.literal('progress'),
    id: z.string(),
    done: z.number(),
    total: z.number().optional(),
    unit: z.enum(['bytes', 'items']),
  }),
  /** What the step of this id is at now, in words. */
  z.object({ kind: z.literal('phase'), id: z.string(), text: z.string() }),
  z.object({ kind: z.literal('warning'), message: z.string(), hint: z.string().optional() }),
]);

/** One journal line: events of a run are numbered from 1 without gaps, so that a follower can resume. */
export const journalEventSchema = z.object({
  run: runIdSchema,
  seq: z.number().int().min(1),
  /** Milliseconds since the epoch, the server's clock. */
  at: z.number(),
  event: runEventSchema,
});

export type PlanStep = z.infer<typeof planStepSchema>;
export type RunEvent = z.infer<typeof runEventSchema>;
export type JournalEvent = z.infer<typeof journalEventSchema>;
/** Where running code reports to; the run registry numbers and keeps what comes in. */
export type Report = (event: RunEvent) => void;
