// One run on disk: request.json (never a secret: a Secret writes itself as "[secret]"), events.jsonl, result.json.
// A run without a result belongs to the process that its request names; when that is gone, it was interrupted.
import { rm, stat } from 'node:fs/promises';
import * as z from 'zod';
import { type RunId, runIdSchema } from '../protocol/ids.ts';
import { type RunResult, runResultSchema } from '../protocol/operations.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { listNames, orAbsent, readText } from './linux-files.ts';
import { isAlive, processIdentitySchema } from './process-identity.ts';

const runRequestSchema = z.object({
  run: runIdSchema,
  operation: z.string(),
  /** Name of the repository, where the run has one. */
  repo: z.string().optional(),
  actor: z.string(),
  /** Milliseconds since the epoch. */
  startedAt: z.number(),
  input: z.unknown().optional(),
  /** The daemon whose run it is. */
  owner: processIdentitySchema,
});
export type RunRequest = z.infer<typeof runRequestSchema>;

const storedResultSchema = runResultSchema.extend({ endedAt: z.number() });
export type StoredResult = z.infer<typeof storedResultSchema>;

export const EVENTS_FILE = 'events.jsonl';

export async function writeRequest(directory: string, request: RunRequest): Promise<void> {
  await writeFileAtomic(`${directory}/request.json`, `${JSON.stringify(request)}\n`, 0o600);
}

export async function writeResult(directory: string, result: RunResult, endedAt: number): Promise<void> {
  await writeFileAtomic(`${directory}/result.json`, `${JSON.stringify({ ...result, endedAt })}\n`, 0o600);
}

/** undefined: there is none, or it was torn by a power cut. */
export async function readRequest(directory: string): Promise<RunRequest | undefined> {
  return parseFile(runRequestSchema, await readText(`${directory}/request.json`));
}

export async function readResult(directory: string): Promise<StoredResult | undefined> {
  return parseFile(storedResultSchema, await readText(`${directory}/result.json`));
}

/** Ids of the runs that are kept, newest first; whatever else lies in the directory is not ours. */
export async function runIds(runsDir: string): Promise<RunId[]> {
  const names = (await listNames(runsDir)) ?? [];
  return names.flatMap((name) => runIdSchema.safeParse(name).data ?? []).reverse();
}

/** Whether the run goes on: it has no result and its daemon is there. */
export async function isGoingOn(directory: string): Promise<boolean> {
  const request = await readRequest(directory);
  return request !== undefined && (await readResult(directory)) === undefined && (await isAlive(request.owner));
}

/** Milliseconds since the epoch at which its last event was written. */
export async function lastSign(directory: string): Promise<number | undefined> {
  return (await orAbsent(stat(`${directory}/${EVENTS_FILE}`)))?.mtimeMs;
}

export async function removeRun(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}

function parseFile<T>(schema: z.ZodType<T>, text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
