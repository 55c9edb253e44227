// A journal that leaves no trace: for a dry run, which changes nothing, and for a machine whose disk takes no more.
import type { JournalEvent, RunEvent } from '../protocol/events.ts';
import { splitEvent } from './event-limits.ts';
import type { Journal, JournalSettings } from './journal.ts';

/** Characters of output that are kept. */
const MOST_TEXT = 4 * 1024 ** 2;
const BATCH = 100;

export function memoryJournal({ run, onMore, mostBytes = MOST_TEXT }: Omit<JournalSettings, 'onTrouble'>): Journal {
  const events: JournalEvent[] = [];
  let size = 0;
  const keep = (event: RunEvent) => events.push({ run, seq: events.length + 1, at: Date.now(), event });
  return {
    append(event) {
      const isFull = size > mostBytes;
      size += event.kind === 'output' ? event.text.length : 0;
      if (!isFull && size > mostBytes) keep({ kind: 'warning', message: 'further output of this run is not kept' });
      if (size <= mostBytes || event.kind !== 'output') for (const part of splitEvent(event)) keep(part);
      onMore();
    },
    close: async () => undefined,
    async reader(after) {
      let at = after;
      return {
        async next() {
          const batch = events.slice(at, at + BATCH);
          at += batch.length;
          return batch;
        },
        close: async () => undefined,
      };
    },
  };
}
