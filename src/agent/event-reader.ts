// Reads the events of a run from its file, also while it grows. A follower holds a position and no queue, so however
// slow it is, it costs no memory.
import { type FileHandle, open } from 'node:fs/promises';
import type { JournalEvent } from '../protocol/events.ts';
import { orAbsent } from './linux-files.ts';
import { EVENTS_FILE } from './run-files.ts';

export interface EventReader {
  /** The next events that are there, a bounded number of them; none when all have been read. */
  next(): Promise<JournalEvent[]>;
  close(): Promise<void>;
}

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** Event n is line n, so that those up to `after` are passed over without being parsed. */
export async function openEventReader(directory: string, after: number): Promise<EventReader> {
  const file = await orAbsent(open(`${directory}/${EVENTS_FILE}`, 'r'));
  if (file === undefined) return { next: async () => [], close: async () => undefined };
  const lines = lineReader(file);
  let line = 0;
  return {
    async next() {
      for (;;) {
        const texts = await lines();
        if (texts.length === 0) return [];
        const wanted = texts.filter(() => ++line > after);
        if (wanted.length > 0) return wanted.flatMap(parseLine);
      }
    },
    close: () => file.close(),
  };
}

/** At least one whole line, unless there is none yet; what comes after the last line end waits for the rest. */
function lineReader(file: FileHandle): () => Promise<string[]> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let position = 0;
  let rest: Buffer[] = [];
  return async () => {
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
      if (bytesRead === 0) return [];
      position += bytesRead;
      const end = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE);
      if (end < 0) {
        rest.push(Buffer.from(chunk.subarray(0, bytesRead)));
        continue;
      }
      const text = Buffer.concat([...rest, chunk.subarray(0, end)]).toString('utf8');
      rest = [Buffer.from(chunk.subarray(end + 1, bytesRead))];
      return text.split('\n');
    }
  };
}

/** Written by us and not checked again: an older agent's events stay readable. A line that a power cut tore is left out. */
function parseLine(line: string): JournalEvent[] {
  try {
    return [JSON.parse(line) as JournalEvent];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}
