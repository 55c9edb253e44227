// What the operations on one repository have in common.
import * as z from 'zod';
import { repoSummarySchema } from './answers.ts';
import { guidSchema, repoNameSchema, repoRefSchema } from './ids.ts';
import { secretSchema } from './secret.ts';

export const oneRepo = z.object({ repo: repoRefSchema });
/** Absent: the volume must be open already, or the machine must hold a keyfile. */
export const maybeCredential = { credential: secretSchema.optional() };
/** How the key is derived: SPEC section 4. "random" means 256 random bits made by us. */
export const kdf = z.enum(['random', 'passphrase']);

export const doneRepo = z.object({
  name: repoNameSchema,
  guid: guidSchema,
  state: repoSummarySchema.shape.state,
  changed: z.boolean(),
});
export const changedRepo = z.object({ name: repoNameSchema, guid: guidSchema, changed: z.boolean() });
