// What `machine doctor` finds left over and `machine prune` removes, in words for people.
import * as z from 'zod';
import { repoNameSchema } from './ids.ts';

export const leftoverKindSchema = z.enum([
  'unit',
  'mount',
  'mapping',
  'loop device',
  'image',
  'record',
  'key file',
  'header backup',
  'mount point',
  'drop-in',
  'namespace',
  'link',
  'runtime file',
  'temporary file',
]);
export type LeftoverKind = z.infer<typeof leftoverKindSchema>;

export const leftoverSchema = z.object({
  kind: leftoverKindSchema,
  /** As the machine calls it: "/dev/loop3", "rdh2880", a path. */
  what: z.string(),
  /** Whose it is, where the machine knows. */
  repo: repoNameSchema.optional(),
  /** The proof that it is dead, or what speaks against it. */
  because: z.string(),
  /** Of what is left alone: what a person can do. */
  fix: z.string().optional(),
});
