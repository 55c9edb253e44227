// What comes from a client, checked with the schema of its operation. A refusal names the field and what is wrong with
// it, and never shows a value that could be a secret.
import type { z } from 'zod';
import { RdcError } from '../protocol/errors.ts';
import {
  type InputOf,
  OPERATIONS,
  type OperationName,
  type QueryOperation,
  type RunOperation,
} from '../protocol/operations.ts';

export function queryNamed(name: string): QueryOperation {
  return operationNamed(name, false) as QueryOperation;
}

export function runNamed(name: string): RunOperation {
  return operationNamed(name, true) as RunOperation;
}

function operationNamed(name: string, changes: boolean): OperationName {
  if (Object.hasOwn(OPERATIONS, name) && OPERATIONS[name as OperationName].changes === changes) {
    return name as OperationName;
  }
  throw new RdcError('INVALID_INPUT', `this agent knows no operation "${name}"`, {
    hint: 'rdc context setup-machine brings the agent up to date',
  });
}

/** Throws INVALID_INPUT naming the first field that is wrong. */
export function parseInput<K extends OperationName>(name: K, input: unknown): InputOf<K> {
  const { summary, input: schema } = OPERATIONS[name];
  return parseWith(schema, input, summary) as InputOf<K>;
}

/** `what` begins the message: "repo create: name: …". */
export function parseWith<S extends z.ZodType>(schema: S, input: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new RdcError('INVALID_INPUT', `${what}: ${describeIssue(parsed.error.issues)}`);
}

function describeIssue(issues: readonly z.core.$ZodIssue[]): string {
  const [issue] = issues;
  if (issue === undefined) return 'not valid';
  const { message, path } = innermost(issue);
  return path.length === 0 ? message : `${path.join('.')}: ${message}`;
}

/** A union only says that none fitted; the reason of its last member, the most general one, tells more. */
function innermost(issue: z.core.$ZodIssue): { message: string; path: readonly PropertyKey[] } {
  const inner = issue.code === 'invalid_union' ? issue.errors.at(-1)?.[0] : undefined;
  if (inner === undefined) return issue;
  const { message, path } = innermost(inner);
  return { message, path: [...issue.path, ...path] };
}
