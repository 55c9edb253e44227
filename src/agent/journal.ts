// Where a run's events are kept: numbered from 1 without gaps, in the order in which they were reported. On disk, so
// that they outlive the daemon and a follower needs no memory; in memory for what must leave no trace.
import { ftruncateSync, writeSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { messageOf } from '../protocol/errors.ts';
import type { JournalEvent, RunEvent } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import { formatSize } from '../protocol/size.ts';
import { MOST_LOG_BYTES, splitEvent } from './event-limits.ts';
import { type EventReader, openEventReader } from './event-reader.ts';
import { EVENTS_FILE } from './run-files.ts';

export interface Journal {
  /** Never throws: an event that cannot be kept is counted and told about as soon as something can be written again. */
  append(event: RunEvent): void;
  /** Afterwards everything is on the disk and nothing can be appended. */
  close(): Promise<void>;
  /** Starts behind the event `after`. */
  reader(after: number): Promise<EventReader>;
}

export interface JournalSettings {
  run: RunId;
  /** Called when a reader finds more than before. */
  onMore(): void;
  /** A problem with the log itself, for the log of the daemon. */
  onTrouble(message: string): void;
  mostBytes?: number;
  /** write(2) from `start` on; how many bytes it took. Tests let it fail. */
  write?(fd: number, bytes: Buffer, start: number): number;
}

/** Written at once when this much has come in one turn of the event loop. */
const FLUSH_BYTES = 256 * 1024;

/** Throws when the directory cannot be made or written. */
export async function openJournal(directory: string, settings: JournalSettings): Promise<Journal> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = await open(`${directory}/${EVENTS_FILE}`, 'a', 0o600);
  const log = new LogFile(file.fd, settings);
  return {
    append: (event) => log.append(event),
    async close() {
      log.flush();
      await file.sync().catch((error: unknown) => log.tell(error));
      await file.close();
    },
    reader: (after) => openEventReader(directory, after),
  };
}

interface Pending {
  at: number;
  event: RunEvent;
  /** Roughly, before it is numbered and written out. */
  bytes: number;
}

/**
 * Writes in batches, one a turn of the event loop, and blocks while it does: so the pipe of whoever talks faster than
 * the disk can write fills up, and not our memory.
 */
class LogFile {
  readonly #fd: number;
  readonly #settings: JournalSettings;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #timer: NodeJS.Immediate | undefined;
  #seq = 0;
  #position = 0;
  #lost = 0;
  #isFull = false;

  constructor(fd: number, settings: JournalSettings) {
    this.#fd = fd;
    this.#settings = settings;
  }

  append(event: RunEvent): void {
    const most = this.#settings.mostBytes ?? MOST_LOG_BYTES;
    const isFull = this.#position + this.#pendingBytes > most;
    if (isFull && !this.#isFull) {
      this.#isFull = true;
      this.#add({
        kind: 'warning',
        message: `this run has said more than ${formatSize(most)}: further output is not kept`,
      });
    }
    if (isFull && (event.kind === 'output' || event.kind === 'progress')) return;
    for (const part of splitEvent(event)) this.#add(part);
  }

  flush(): void {
    clearImmediate(this.#timer);
    this.#timer = undefined;
    const batch = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (batch.length > 0) this.#write(this.#lost === 0 ? batch : [this.#lossOf(batch), ...batch], batch.length);
  }

  tell(error: unknown): void {
    const { run, onTrouble } = this.#settings;
    onTrouble(`the log of run ${run} cannot be written: ${messageOf(error)}`);
  }

  #add(event: RunEvent): void {
    const bytes = 100 + (event.kind === 'output' ? Buffer.byteLength(event.text) : 0);
    this.#pending.push({ at: Date.now(), event, bytes });
    this.#pendingBytes += bytes;
    if (this.#pendingBytes > FLUSH_BYTES) this.flush();
    else this.#timer ??= setImmediate(() => this.flush());
  }

  /** All or nothing, so that the numbers have no gap and no line is torn. */
  #write(batch: readonly Pending[], counted: number): void {
    const { run, onMore, write = writeSync } = this.#settings;
    const lines = batch.map(({ at, event }, index): JournalEvent => ({ run, seq: this.#seq + index + 1, at, event }));
    const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    try {
      for (let done = 0; done < bytes.length; ) done += write(this.#fd, bytes, done);
      this.#seq += batch.length;
      this.#position += bytes.length;
      this.#lost = 0;
    } catch (error) {
      this.#lost += counted;
      this.#takeBack(error);
    }
    onMore();
  }

  #takeBack(reason: unknown): void {
    this.tell(reason);
    try {
      ftruncateSync(this.#fd, this.#position);
    } catch (error) {
      this.tell(error);
    }
  }

  #lossOf([first]: readonly Pending[]): Pending {
    const message = `${this.#lost} lines of this run could not be kept: the disk of the server did not take them`;
    return { at: first?.at ?? Date.now(), event: { kind: 'warning', message }, bytes: 100 };
  }
}
