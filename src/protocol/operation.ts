// What makes an operation of the contract (operations.ts).
import type * as z from 'zod';

export interface Operation<
  I extends z.ZodType = z.ZodType,
  O extends z.ZodType = z.ZodType,
  C extends boolean = boolean,
> {
  /** One line for the reference and for "is being changed by": "repo up". */
  summary: string;
  input: I;
  output: O;
  /** true: a run with an id, a journal and, where `input.repo` is given, the repository's lock. false: a plain question. */
  changes: C;
}

export function operation<I extends z.ZodType, O extends z.ZodType, const C extends boolean>(
  definition: Operation<I, O, C>,
): Operation<I, O, C> {
  return definition;
}
