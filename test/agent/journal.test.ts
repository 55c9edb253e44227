import { writeSync } from 'node:fs';
import { appendFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { splitEvent } from '../../src/agent/event-limits.ts';
import { openEventReader } from '../../src/agent/event-reader.ts';
import { type Journal, type JournalSettings, openJournal } from '../../src/agent/journal.ts';
import { memoryJournal } from '../../src/agent/memory-journal.ts';
import type { JournalEvent, RunEvent } from '../../src/protocol/events.ts';
import { journalEventSchema } from '../../src/protocol/events.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { temporaryDirectory } from './harness.ts';

const RUN = '0123456789ab-01234567' as RunId;

function output(text: string): RunEvent {
  return { kind: 'output', source: 'root up', stream: 'stdout', text };
}

async function readAll(journal: Pick<Journal, 'reader'>, after = 0): Promise<JournalEvent[]> {
  const reader = await journal.reader(after);
  const all: JournalEvent[] = [];
  for (let events = await reader.next(); events.length > 0; events = await reader.next()) all.push(...events);
  await reader.close();
  return all;
}

function textOf({ event }: JournalEvent): string {
  return event.kind === 'output' ? event.text : '';
}

async function journalIn(directory: string, more: Partial<JournalSettings> = {}) {
  const troubles: string[] = [];
  let wakes = 0;
  const journal = await openJournal(directory, {
    run: RUN,
    onMore: () => {
      wakes += 1;
    },
    onTrouble: (message) => troubles.push(message),
    ...more,
  });
  return { journal, troubles, wakes: () => wakes };
}

describe('the journal on disk', () => {
  test('keeps events in order and numbers them from 1 without gaps', async () => {
    const { journal } = await journalIn(await temporaryDirectory());
    for (let index = 1; index <= 5000; index++) {
      journal.append(output(`line ${index}`));
      // Some in the same turn of the event loop, some in later ones.
      if (index % 700 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await journal.close();
    const events = await readAll(journal);
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 5000 }, (_, index) => index + 1));
    expect(events.every((event, index) => textOf(event) === `line ${index + 1}`)).toBe(true);
    expect(events.every((event) => journalEventSchema.safeParse(event).success)).toBe(true);
  });

  test('is read on from any number, without loss or repeat', async () => {
    const { journal } = await journalIn(await temporaryDirectory());
    for (let index = 1; index <= 300; index++) journal.append(output('x'.repeat(index * 7)));
    await journal.close();
    for (const after of [0, 1, 150, 299, 300, 1000]) {
      const numbers = (await readAll(journal, after)).map(({ seq }) => seq);
      expect(numbers).toEqual(Array.from({ length: Math.max(0, 300 - after) }, (_, index) => after + index + 1));
    }
  });

  test('gives a reader what has come since it looked last', async () => {
    const { journal } = await journalIn(await temporaryDirectory());
    const reader = await journal.reader(0);
    expect(await reader.next()).toEqual([]);
    journal.append(output('one'));
    await new Promise((resolve) => setImmediate(resolve));
    expect((await reader.next()).map(textOf)).toEqual(['one']);
    expect(await reader.next()).toEqual([]);
    journal.append(output('two'));
    await journal.close();
    expect((await reader.next()).map(textOf)).toEqual(['two']);
    await reader.close();
  });

  test('keeps output of any length, in events of bounded length', async () => {
    const { journal } = await journalIn(await temporaryDirectory());
    const text = `${'ü'.repeat(40_000)}${'𝄞'.repeat(70_000)}`;
    journal.append(output(text));
    await journal.close();
    const parts = (await readAll(journal)).map(textOf);
    expect(parts.length).toBeGreaterThan(4);
    expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(32 * 1024);
    expect(parts.join('')).toBe(text);
  });

  test('stops keeping output at its limit, says so once, and keeps the steps', async () => {
    const directory = await temporaryDirectory();
    const { journal } = await journalIn(directory, { mostBytes: 100_000 });
    for (let index = 0; index < 1000; index++) journal.append(output('x'.repeat(1000)));
    journal.append({ kind: 'step', id: 'up.root', title: 'root up', state: 'done' });
    await journal.close();
    expect((await stat(join(directory, 'events.jsonl'))).size).toBeLessThan(150_000);
    const rest = (await readAll(journal)).filter(({ event }) => event.kind !== 'output');
    expect(rest.map(({ event }) => event.kind)).toEqual(['warning', 'step']);
  });

  test('on a full disk loses whole events, never a number, and tells how many once it can', async () => {
    let isFull = false;
    const { journal, troubles } = await journalIn(await temporaryDirectory(), {
      write(fd, bytes, start) {
        if (!isFull) return writeSync(fd, bytes, start);
        // Half a batch still fits.
        if (start === 0) return writeSync(fd, bytes, 0, 20);
        throw new Error('ENOSPC: no space left on device, write');
      },
    });
    const say = async (text: string) => {
      journal.append(output(text));
      await new Promise((resolve) => setImmediate(resolve));
    };
    await say('one');
    isFull = true;
    await say('lost');
    await say('lost, too');
    expect((await readAll(journal)).map(textOf)).toEqual(['one']);
    isFull = false;
    await say('two');
    await journal.close();
    const events = await readAll(journal);
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(events[1]?.event).toMatchObject({ kind: 'warning', message: expect.stringMatching(/^2 lines of this run/) });
    expect(textOf(events[2] as JournalEvent)).toBe('two');
    expect(troubles.join()).toContain('ENOSPC');
  });

  test('leaves out what a power cut has torn', async () => {
    const directory = await temporaryDirectory();
    const { journal } = await journalIn(directory);
    journal.append(output('whole'));
    await journal.close();
    await appendFile(join(directory, 'events.jsonl'), '\0\0\0\0\n{"run":"0123');
    expect((await readAll(journal)).map(textOf)).toEqual(['whole']);
  });

  test('that never came about reads as empty', async () => {
    const directory = await temporaryDirectory();
    expect(await readAll({ reader: (after) => openEventReader(directory, after) })).toEqual([]);
  });

  test('is for root alone', async () => {
    const directory = join(await temporaryDirectory(), 'run');
    const { journal } = await journalIn(directory);
    await journal.close();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, 'events.jsonl'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(directory, 'events.jsonl'), 'utf8')).toBe('');
  });
});

describe('the journal in memory', () => {
  test('numbers, resumes and bounds as the one on disk does', async () => {
    let wakes = 0;
    const onMore = () => {
      wakes += 1;
    };
    const journal = memoryJournal({ run: RUN, onMore, mostBytes: 50_000 });
    for (let index = 1; index <= 250; index++) journal.append(output('x'.repeat(300)));
    journal.append({ kind: 'step', id: 'up.root', title: 'root up', state: 'done' });
    expect(wakes).toBe(251);
    const events = await readAll(journal);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.filter(({ event }) => event.kind === 'warning')).toHaveLength(1);
    expect(events.at(-1)?.event.kind).toBe('step');
    expect(await readAll(journal, events.length - 1)).toEqual(events.slice(-1));
  });
});

test('only output is split, and never inside a character', () => {
  const step: RunEvent = { kind: 'step', id: 'a', title: 'x'.repeat(100_000), state: 'done' };
  expect(splitEvent(step)).toEqual([step]);
  const text = `${'x'.repeat(32 * 1024 - 1)}𝄞y`;
  const parts = splitEvent(output(text)).map((part) => (part.kind === 'output' ? part.text : ''));
  expect(parts).toEqual(['x'.repeat(32 * 1024 - 1), '𝄞y']);
});
