// Words of the command line to values, before anything is read or reached.
import type { z } from 'zod';
import { invalidInput } from './failure.ts';

/** A parser for one word by a schema; throws INVALID_INPUT with the schema's own words. */
export function parseWith<S extends z.ZodType>(schema: S): (text: string) => z.output<S> {
  return (text) => parseValue(schema, text);
}

export function parseValue<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidInput(
    parsed.error.issues.map(({ message, path }) => ({ message: `${message}${quoted(message, value)}`, path })),
  );
}

/** Our own rules quote the value themselves. */
function quoted(message: string, value: unknown): string {
  return typeof value !== 'string' || message.includes(JSON.stringify(value)) ? '' : ` (${JSON.stringify(value)})`;
}
