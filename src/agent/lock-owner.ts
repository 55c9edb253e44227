// Labels of locks: who holds it and why, for people. The lock itself is the kernel's; a label counts only as long as
// the process that holds the lock is there.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import * as z from 'zod';
import { type RunId, runIdSchema } from '../protocol/ids.ts';
import { orAbsent } from './linux-files.ts';
import { identifyProcess, isAlive, processIdentitySchema } from './process-identity.ts';

export interface LockOwner {
  /** Absent for what is no run, such as a file transfer. */
  run?: RunId;
  /** "repo up" */
  operation: string;
  /** anna@laptop */
  actor: string;
  /** Milliseconds since the epoch. */
  since: number;
  /** Our own upkeep, most of it done in seconds and none of it a person's: whoever comes waits a while before being refused. */
  isUpkeep?: boolean;
}

const labelSchema = z.object({
  run: runIdSchema.optional(),
  operation: z.string(),
  actor: z.string(),
  since: z.number(),
  isUpkeep: z.boolean().optional(),
  holder: processIdentitySchema,
});

/** `holder`: pid of the process that holds the lock. The label is named after it, so that shared holders have one each. */
export async function writeLabel(directory: string, key: string, owner: LockOwner, holder: number): Promise<void> {
  const identity = await identifyProcess(holder);
  if (identity === undefined) return;
  const text = JSON.stringify({ ...owner, holder: identity });
  await writeFile(labelPath(directory, key, holder), text, { mode: 0o600 });
}

export async function removeLabel(directory: string, key: string, holder: number): Promise<void> {
  await rm(labelPath(directory, key, holder), { force: true });
}

/** Everyone who holds a lock of this key now, longest first. Labels of the dead are removed on the way. */
export async function lockOwners(directory: string, key: string): Promise<LockOwner[]> {
  const names = ((await orAbsent(readdir(directory))) ?? []).filter((name) => isLabelOf(key, name));
  const owners = await Promise.all(names.map((name) => readLabel(`${directory}/${name}`)));
  return owners.filter((owner) => owner !== undefined).sort((a, b) => a.since - b.since);
}

function labelPath(directory: string, key: string, holder: number): string {
  return `${directory}/${key}.${holder}.json`;
}

function isLabelOf(key: string, name: string): boolean {
  return name.startsWith(`${key}.`) && /^\d+\.json$/.test(name.slice(key.length + 1));
}

async function readLabel(path: string): Promise<LockOwner | undefined> {
  const text = await orAbsent(readFile(path, 'utf8'));
  const label = labelSchema.safeParse(parseOrNothing(text ?? ''));
  // Being written just now: the next look finds it.
  if (!label.success) return undefined;
  const { holder, run, isUpkeep, ...rest } = label.data;
  const isThere = await isAlive(holder);
  if (isThere) return { ...rest, ...(run === undefined ? {} : { run }), ...(isUpkeep === true ? { isUpkeep } : {}) };
  await rm(path, { force: true });
  return undefined;
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
