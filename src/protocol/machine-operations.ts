// Operations on a machine as a whole, and on its runs.
import * as z from 'zod';
import { allOutputSchema, checkSchema, repoSummarySchema, runSummarySchema } from './answers.ts';
import { absolutePathSchema } from './ids.ts';
import { leftoverSchema } from './leftovers.ts';
import { operation } from './operation.ts';
import { spaceSchema } from './space.ts';
import { attentionSchema, supervisionEventSchema, supervisionSettingsSchema } from './supervision.ts';

export const MACHINE_OPERATIONS = {
  'machine.preflight': operation({
    summary: 'check whether the machine can hold repositories',
    input: z.object({ datastore: absolutePathSchema }),
    output: z.object({ checks: z.array(checkSchema), fit: z.boolean() }),
    changes: false,
  }),
  'machine.setup': operation({
    summary: 'machine setup',
    input: z.object({
      datastore: absolutePathSchema,
      /** Present: the datastore becomes a pool image of this many bytes instead of a plain directory. */
      datastoreSizeBytes: z.number().int().positive().optional(),
      /** Of the pool; absent: btrfs where the kernel has it, else xfs. */
      datastoreFilesystem: z.enum(['btrfs', 'xfs']).optional(),
      /** e.g. http://10.0.2.15:5000; serves Docker Hub names only. Absent: keep what is recorded. */
      registryMirrors: z.array(z.url({ protocol: /^https?$/ })).optional(),
      /** Login name that may run `sudo -n renet connect`; absent for root. */
      sudoUser: z
        .string()
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/)
        .optional(),
    }),
    output: z.object({ datastore: z.string(), checks: z.array(checkSchema), changed: z.boolean() }),
    changes: true,
  }),
  'machine.status': operation({
    summary: 'what the machine is and what runs on it',
    input: z.object({}),
    output: z.object({
      hostname: z.string(),
      os: z.string(),
      kernel: z.string(),
      uptimeSeconds: z.number(),
      agent: z.object({
        version: z.string(),
        pid: z.number(),
        residentBytes: z.number(),
        node: z.string(),
        startedAt: z.number(),
      }),
      datastore: spaceSchema
        .extend({
          path: z.string(),
          filesystem: z.string(),
          /** Set aside on it; 0: it was given up, or there was never room for it. */
          reserveBytes: z.number(),
        })
        .optional(),
      registryMirrors: z.array(z.string()),
      repositories: z.array(repoSummarySchema),
      supervision: supervisionSettingsSchema.extend({
        /** Newest first. */
        events: z.array(supervisionEventSchema),
        /** Of the machine itself. */
        attention: attentionSchema.optional(),
      }),
    }),
    changes: false,
  }),
  'machine.doctor': operation({
    summary: 'whether everything on the machine is as repositories need it',
    input: z.object({}),
    output: z.object({ checks: z.array(checkSchema) }),
    changes: false,
  }),
  'machine.prune': operation({
    summary: 'machine prune',
    /** The ids of the plan's steps that somebody has agreed to; absent: everything that is dead. */
    input: z.object({ only: z.array(z.string()).optional() }),
    output: z.object({
      removed: z.array(leftoverSchema),
      /** Not proven to be dead. */
      left: z.array(leftoverSchema),
      failed: z.array(z.object({ where: z.string(), reason: z.string() })),
      changed: z.boolean(),
    }),
    changes: true,
  }),
  'machine.set-supervision': operation({
    summary: 'machine supervision',
    /** Absent: stays as it is. */
    input: supervisionSettingsSchema.partial(),
    output: supervisionSettingsSchema.extend({ changed: z.boolean() }),
    changes: true,
  }),
  'machine.autostart': operation({
    summary: 'start of the repositories that are marked for it',
    input: z.object({}),
    output: allOutputSchema,
    changes: true,
  }),
  'run.list': operation({
    summary: 'runs of the machine, newest first',
    input: z.object({ limit: z.number().int().min(1).max(1000).default(20) }),
    output: z.object({ runs: z.array(runSummarySchema) }),
    changes: false,
  }),
} as const;
