// One run on disk: request.json (never a secret: a Secret writes itself as "[secret]"), events.jsonl, result.json.
// Events are numbered from 1 without gaps in the order they were reported; a follower reads them from the file, so a
// slow one costs no memory, and is woken when there is more.
import { EventEmitter, once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { type JournalEvent, journalEventSchema, type RunEvent } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import { type RunResult, runResultSchema } from '../protocol/operations.ts';

export interface RunRequest {
  run: RunId;
  operation: string;
  /** Name of the repository, where the run has one. */
  repo?: string;
  actor: string;
  startedAt: number;
  input: unknown;
  /** Whose run it is: a daemon that is gone leaves its runs interrupted. */
  daemon: { pid: number; bootId: string };
}

export interface Journal {
  append(event: RunEvent): void;
  /** Waits until everything is on disk, then writes the result; nothing can be appended after it. */
  finish(result: RunResult): Promise<void>;
  readonly seq: number;
  /** "event" after an append reached the file, "end" after the result did. */
  readonly wakeups: EventEmitter;
}

export async function createJournal(directory: string, request: RunRequest): Promise<Journal> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(`${directory}/request.json`, `${JSON.stringify(request)}\n`, { mode: 0o600 });
  const stream = createWriteStream(`${directory}/events.jsonl`, { flags: 'a', mode: 0o600 });
  await once(stream, 'open');
  const wakeups = new EventEmitter().setMaxListeners(0);
  let seq = 0;
  return {
    wakeups,
    get seq() {
      return seq;
    },
    append(event) {
      seq += 1;
      const line: JournalEvent = { run: request.run, seq, at: Date.now(), event };
      stream.write(`${JSON.stringify(line)}\n`, () => wakeups.emit('event'));
    },
    async finish(result) {
      await endStream(stream);
      await writeResult(directory, result);
      wakeups.emit('end');
    },
  };
}

function endStream(stream: WriteStream): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('error', reject);
    stream.end(() => resolve());
  });
}

export async function writeResult(directory: string, result: RunResult): Promise<void> {
  await writeFile(`${directory}/result.json.tmp`, `${JSON.stringify(result)}\n`, { mode: 0o600 });
  await rename(`${directory}/result.json.tmp`, `${directory}/result.json`);
}

export async function readResult(directory: string): Promise<RunResult | undefined> {
  const text = await readIfThere(`${directory}/result.json`);
  return text === undefined ? undefined : runResultSchema.parse(JSON.parse(text));
}

export async function readRequest(directory: string): Promise<RunRequest | undefined> {
  const text = await readIfThere(`${directory}/request.json`);
  return text === undefined ? undefined : (JSON.parse(text) as RunRequest);
}

/** Reads the whole lines of a growing events.jsonl from where it stopped last time. */
export async function openEventReader(
  directory: string,
): Promise<{ next(): Promise<JournalEvent[]>; close(): Promise<void> }> {
  const file: FileHandle = await open(`${directory}/events.jsonl`, 'r');
  const chunk = Buffer.alloc(256 * 1024);
  let position = 0;
  let rest = Buffer.alloc(0);
  return {
    async next() {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
      position += bytesRead;
      const text = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
      const end = text.lastIndexOf(0x0a);
      rest = text.subarray(end + 1);
      if (end < 0) return [];
      const lines = text.subarray(0, end).toString('utf8').split('\n');
      return lines.map((line) => journalEventSchema.parse(JSON.parse(line)));
    },
    close: () => file.close(),
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
