// What the agent's answers are made of: services, repositories, checks, findings, runs. Which operation answers with which
// of them is in operations.ts.
import * as z from 'zod';
import { guidSchema, networkIdSchema, repoNameSchema, runIdSchema } from './ids.ts';
import { spaceSchema } from './space.ts';
import { attentionSchema } from './supervision.ts';

export const serviceSchema = z.object({
  name: z.string(),
  slot: z.number().int(),
  ip: z.string(),
  /** Container state by docker, e.g. "running"; "absent" where there is no container. */
  state: z.string(),
  health: z.string().optional(),
});

export const repoSummarySchema = z.object({
  name: repoNameSchema,
  guid: guidSchema,
  networkId: networkIdSchema,
  subnet: z.string(),
  /** "partial" and "failed": the daemon runs, and that is how the last `up` ended. */
  state: z.enum(['closed', 'mounted', 'daemon', 'up', 'partial', 'failed', 'broken']),
  sizeBytes: z.number(),
  /** Bytes the sparse image takes on the datastore. */
  allocatedBytes: z.number(),
  /** All of its size is taken on the datastore, whatever is in it. */
  preallocated: z.boolean().optional(),
  /** Inside, while it is mounted. */
  space: spaceSchema.optional(),
  autostart: z.boolean(),
  parent: guidSchema.optional(),
  /** The run that is changing it now. */
  busy: z.object({ run: runIdSchema, operation: z.string(), actor: z.string(), since: z.number() }).optional(),
  /** The supervisor has given up; an `up` clears it. */
  attention: attentionSchema.optional(),
});

/** How the last `up` ended, or that a run has begun to change what it left. */
export const lastUpSchema = z.object({
  run: runIdSchema,
  outcome: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** What failed. */
  reason: z.string().optional(),
});

/** null: no limit. Daemon and containerd alone take about 128 MiB; the time of a processor is dealt out in hundredths. */
export const limitsSchema = z.object({
  memoryBytes: z
    .number()
    .int()
    .min(128 * 1024 ** 2, 'a repository needs at least 128M of memory')
    .nullable(),
  cpus: z
    .number()
    .min(0.01, 'a repository needs at least 0.01 of a processor')
    .max(4096, 'no machine has so many processors')
    .nullable(),
});

export const repoStatusSchema = repoSummarySchema.extend({
  mountPoint: z.string(),
  image: z.string(),
  dockerSocket: z.string(),
  volume: z.object({
    mapping: z.string().optional(),
    loopDevice: z.string().optional(),
    mounted: z.boolean(),
  }),
  /** Set aside inside for `repo rescue`, while it is mounted; 0: it was given up, or there was never room for it. */
  reserveBytes: z.number().optional(),
  /** Of the filesystem on which the image lies. */
  datastore: spaceSchema.extend({ path: z.string() }).optional(),
  units: z.record(z.string(), z.string()),
  services: z.array(serviceSchema),
  /** Of a fork, for as long as that repository exists. */
  parentName: repoNameSchema.optional(),
  limits: limitsSchema,
  /** A resize to this size was cut off; the same command again finishes it. */
  resizingTo: z.number().optional(),
  lastUp: lastUpSchema.optional(),
});

export const checkSchema = z.object({
  id: z.string(),
  title: z.string(),
  status: z.enum(['ok', 'missing', 'failed', 'warning']),
  /** What was seen, e.g. "6.12.107". */
  found: z.string(),
  /** What setup will do about it, or what a person must do. */
  fix: z.string().optional(),
});

export const findingSchema = z.object({
  /** Relative to the root of the repository. */
  file: z.string(),
  line: z.number().int().optional(),
  /** Stable id such as "port-conflict". */
  rule: z.string(),
  severity: z.enum(['error', 'warning', 'note']),
  message: z.string(),
});

export const outcomeSchema = z.enum(['running', 'done', 'partial', 'failed', 'cancelled', 'interrupted', 'planned']);

export const runSummarySchema = z.object({
  run: runIdSchema,
  operation: z.string(),
  repo: z.string().optional(),
  actor: z.string(),
  startedAt: z.number(),
  endedAt: z.number().optional(),
  outcome: outcomeSchema,
  message: z.string().optional(),
});

/** How one repository came out of up-all, down-all or the start at boot. */
export const allRowSchema = z.object({
  name: repoNameSchema,
  guid: guidSchema,
  result: z.enum(['done', 'already', 'partial', 'failed', 'skipped']),
  /** Why it is not done. */
  reason: z.string().optional(),
  /** Its own run: `rdc run logs` has the whole story. */
  run: runIdSchema.optional(),
  /** How many services it has; of up-all only. */
  services: z.number().int().optional(),
  ms: z.number(),
});

export const allOutputSchema = z.object({ repositories: z.array(allRowSchema) });
