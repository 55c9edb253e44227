// A JSON file of ours on the workstation: read with its schema, changed under a lock, written atomically (0600 in a
// directory 0700). A torn or foreign file is refused with path and line, and never overwritten.
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { RdcError } from '../protocol/errors.ts';
import { jsonPlaces, lineAt } from './json-position.ts';
import { withFileLock } from './lock-file.ts';
import { writeAtomic } from './write-atomic.ts';

export interface StateFile<T> {
  path: string;
  /** What an absent file means is up to `empty`. Throws CONFIG_INVALID. */
  read(): Promise<T>;
  /** Changes what is there now, not what was read earlier. `change` works on a copy; when it throws, nothing is written. */
  update<R>(change: (draft: T) => R): Promise<R>;
}

export interface StateFileOptions<T> {
  path: string;
  schema: z.ZodType<T>;
  empty: () => T;
  /** Before it becomes text; credentials.ts reveals its secrets here. */
  encode?: (content: T) => unknown;
  /** Check and change, but write nothing. */
  dryRun: boolean;
}

export function stateFile<T>(options: StateFileOptions<T>): StateFile<T> {
  const { path, empty, schema, dryRun } = options;

  async function read(): Promise<T> {
    const text = await readIfThere(path);
    return text === undefined ? empty() : parse(path, text, schema);
  }

  async function changed<R>(change: (draft: T) => R): Promise<{ draft: T; result: R }> {
    const draft = await read();
    const result = change(draft);
    return { draft: schema.parse(draft), result };
  }

  return {
    path,
    read,
    async update(change) {
      if (dryRun) return (await changed(change)).result;
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      return await withFileLock(`${path}.lock`, async () => {
        const { draft, result } = await changed(change);
        await write(options, draft);
        return result;
      });
    },
  };
}

async function write<T>({ path, encode = (content) => content }: StateFileOptions<T>, content: T): Promise<void> {
  await writeAtomic(path, `${JSON.stringify(encode(content), null, 2)}\n`);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new RdcError('CONFIG_INVALID', `cannot read ${path}`, { cause });
  }
}

function parse<T>(path: string, text: string, schema: z.ZodType<T>): T {
  const places = jsonPlaces(text);
  if (places.errorAt !== undefined) {
    const why = places.errorAt === text.length ? 'the text ends too early' : 'not valid JSON';
    throw refused(path, lineAt(text, places.errorAt), why);
  }
  const parsed = schema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = (issue?.path ?? []).map(String);
  // The value itself may be missing: then its nearest parent has a line.
  const known = where.map((_, index) => where.slice(0, where.length - index).join('.'));
  const offset = known.map((key) => places.values.get(key)).find((at) => at !== undefined) ?? 0;
  const place = where.length === 0 ? '' : `${where.join('.')}: `;
  throw refused(path, lineAt(text, offset), `${place}${issue?.message ?? 'not a file of rdc'}`);
}

function refused(path: string, line: number, why: string): RdcError {
  return new RdcError('CONFIG_INVALID', `${path}, line ${line}: ${why}`, {
    hint: 'rdc leaves the file as it is: correct it, or move it away to begin anew',
  });
}
