// What the supervisor of a machine tells: what it did by itself, and what it has given up until a person looks.
import * as z from 'zod';
import { guidSchema, repoNameSchema } from './ids.ts';

/**
 * daemon-restarted: a docker daemon died and was started again · container-restarted: an unhealthy one ·
 * repository-started: brought back with a whole `up` · guard-restored: the firewall rules, after somebody took them away ·
 * failed: a try that did not help · needs-attention: given up, or the datastore is full · attention-cleared: by an `up`, or by room ·
 * left-alone: down because of somebody else · notify-failed: the notify command
 */
export const supervisionKindSchema = z.enum([
  'daemon-restarted',
  'container-restarted',
  'repository-started',
  'guard-restored',
  'failed',
  'needs-attention',
  'attention-cleared',
  'left-alone',
  'notify-failed',
]);

export const supervisionEventSchema = z.object({
  /** Milliseconds since the epoch. */
  at: z.number(),
  kind: supervisionKindSchema,
  /** Absent: the machine itself. */
  repo: repoNameSchema.optional(),
  guid: guidSchema.optional(),
  /** One sentence for people, with the reason. */
  message: z.string(),
});
export type SupervisionEvent = z.infer<typeof supervisionEventSchema>;
export type SupervisionKind = SupervisionEvent['kind'];

export const attentionSchema = z.object({ since: z.number(), reason: z.string() });
export type Attention = z.infer<typeof attentionSchema>;

/** What a person may set, machine by machine. */
export const supervisionSettingsSchema = z.object({
  /** false: nothing is done and nothing told, but of the datastore; systemd still starts dead daemons. */
  enabled: z.boolean(),
  /** A line for /bin/sh, run by root on the machine with each event as JSON on stdin; null: none. */
  notifyCommand: z
    .string()
    .min(1)
    .max(4096)
    .regex(/^[^\0\n]*$/, 'it must be one line')
    .nullable(),
  /** How often an unhealthy container is restarted before it is given up; 0: never. */
  restarts: z.number().int().min(0).max(100),
});
export type SupervisionSettings = z.infer<typeof supervisionSettingsSchema>;

export const DEFAULT_SUPERVISION: SupervisionSettings = { enabled: true, notifyCommand: null, restarts: 5 };
