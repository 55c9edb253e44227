// How an error is read from the wire; how it is made: errors.ts, which loads nothing.
import * as z from 'zod';

export const wireErrorSchema = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  detail: z.string().optional(),
});
