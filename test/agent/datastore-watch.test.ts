// The datastore under watch, on a model of its filesystem: when its reserve is given up, what is told, and when it is back.
import { describe, expect, onTestFinished, test } from 'vitest';
import { judgeReserve } from '../../src/agent/datastore-reserve.ts';
import { watchDatastore } from '../../src/agent/datastore-watch.ts';
import { SupervisionRecord } from '../../src/agent/supervision-record.ts';
import { datastoreReserve } from '../../src/lifecycle/space-floors.ts';
import { FakeSystem } from '../helpers/fake-system.ts';
import { spaceWith } from '../helpers/space.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const RESERVE = '/mnt/rediacc/.reserve';

class Datastore extends FakeSystem {
  /** Beside what the reserve takes. */
  freeBytes = 50 * GIB;
  failing: Error | undefined;

  held(): number {
    return this.nodes.get(RESERVE)?.sizeBytes ?? 0;
  }

  /** Of what is free, for root alone: 5 % of an ext4 filesystem, unless it was made otherwise. */
  forRoot = 0;

  override async space() {
    const all = spaceWith(this.freeBytes - this.held());
    return { ...all, freeBytes: Math.max(0, all.freeBytes - this.forRoot) };
  }

  override async reserve(root: string, path: string, bytes: number) {
    if (this.failing !== undefined) throw this.failing;
    await super.reserve(root, path, bytes);
  }
}

/** Each `look` is one; it resolves when the watch pauses, with the length of the pause. */
function watched() {
  const system = new Datastore();
  const clock = { now: 7 };
  const machine = { version: 1, datastore: '/mnt/rediacc', registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' };
  system.file('/etc/rediacc/machine.json', JSON.stringify(machine)).directory('/mnt/rediacc/.state');
  const record = new SupervisionRecord({
    system,
    path: '/var/lib/rediacc/supervision.json',
    onTrouble: () => undefined,
  });
  const end = new AbortController();
  const told: string[] = [];
  let goOn: () => void = () => undefined;
  let paused: (ms: number) => void = () => undefined;
  let next = new Promise<number>((resolve) => {
    paused = resolve;
  });
  const ended = watchDatastore({
    ...{ system, record, signal: end.signal, now: () => clock.now },
    tell: (kind, message) => void told.push(`${kind}: ${message}`),
    pause: async (ms) => {
      paused(ms);
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    },
  });
  onTestFinished(async () => {
    end.abort();
    goOn();
    await ended;
  });
  let isFirst = true;
  const look = async (change: (system: Datastore) => void = () => undefined): Promise<number> => {
    if (isFirst) {
      isFirst = false;
      return next;
    }
    change(system);
    next = new Promise((resolve) => {
      paused = resolve;
    });
    goOn();
    return next;
  };
  return { system, record, told, look, clock };
}

const attention = (record: SupervisionRecord) => record.attention('machine datastore')?.reason;

test('set aside while there is room, given up below the floor, told, and set aside again', async () => {
  const { system, record, told, look } = watched();
  expect(await look()).toBe(30_000);
  expect([system.held(), told]).toEqual([256 * MIB, []]);

  // As far apart as a disk that writes a gibibyte a second needs.
  expect(await look(() => (system.freeBytes = 10 * GIB + 256 * MIB))).toBe(10_000);
  expect(await look(() => (system.freeBytes = GIB))).toBe(1000);
  // Control: a little above the floor nothing is given up.
  await look(() => (system.freeBytes = (256 + 64) * MIB));
  expect([system.held(), told]).toEqual([256 * MIB, []]);

  expect(await look(() => (system.freeBytes = (256 + 63) * MIB))).toBe(1000);
  expect(system.held()).toBe(0);
  const reason =
    'the datastore /mnt/rediacc is full: its reserve of 256M was given up, and 319M are free now; free some space there';
  expect([told, attention(record)]).toEqual([[`needs-attention: ${reason}`], reason]);

  await look(() => (system.freeBytes = 700 * MIB));
  expect([system.held(), told.length, attention(record)]).toEqual([0, 1, reason]);
  await look(() => (system.freeBytes = 10 * GIB));
  expect([system.held(), told[1], attention(record)]).toEqual([
    256 * MIB,
    'attention-cleared: the datastore /mnt/rediacc has room again',
    undefined,
  ]);
});

test('full without a reserve: told once, and once more when it fills again', async () => {
  const { system, record, told, look } = watched();
  await look();
  await look(() => (system.freeBytes = 300 * MIB));
  for (const freeBytes of [10, 9, 8]) await look(() => (system.freeBytes = freeBytes * MIB));
  expect(told.map((text) => text.split(':')[0])).toEqual(['needs-attention', 'failed']);
  expect(told[1]).toContain('10M are free, and it has no reserve');
  // Around the floor it is the same fullness.
  await look(() => (system.freeBytes = 100 * MIB));
  await look(() => (system.freeBytes = 7 * MIB));
  expect(told).toHaveLength(2);
  await look(() => (system.freeBytes = 200 * MIB));
  await look(() => (system.freeBytes = 5 * MIB));
  expect(told).toHaveLength(3);
  // What a person did with a repository says nothing of the datastore.
  record.clear('machine');
  expect(attention(record)).toContain('5M are free');
});

test('what is kept for root is room as well: images are written by root', async () => {
  const { system, record, told, look } = watched();
  system.forRoot = 5 * GIB;
  await look();
  await look(() => (system.freeBytes = (256 + 63) * MIB));
  expect([system.held(), told.length]).toEqual([0, 1]);
  await look(() => (system.freeBytes = 4 * GIB));
  expect([system.held(), attention(record)]).toEqual([256 * MIB, undefined]);
});

test('a filesystem that cannot make one: no alarm stays for that, and it is tried again after an hour only', async () => {
  const { system, record, told, look, clock } = watched();
  await look();
  await look(() => (system.freeBytes = (256 + 10) * MIB));
  system.failing = new Error('Operation not supported');
  await look(() => (system.freeBytes = 10 * GIB));
  expect(attention(record)).toBeUndefined();
  expect(told.at(-1)).toBe('failed: the datastore could not be looked after: Operation not supported');
  const before = told.length;
  system.failing = undefined;
  await look();
  expect([system.held(), told.length]).toEqual([0, before]);
  clock.now += 3600_000;
  await look();
  expect([system.held(), told.length]).toEqual([256 * MIB, before]);
});

test('a filesystem that cannot do it is told once; a machine that is not set up, or not mounted, is left alone', async () => {
  const { system, told, look } = watched();
  await look();
  system.failing = new Error('Operation not supported');
  system.nodes.delete(RESERVE);
  await look();
  await look();
  expect(told).toEqual(['failed: the datastore could not be looked after: Operation not supported']);
  system.failing = undefined;
  system.nodes.delete('/mnt/rediacc/.state');
  await look();
  expect(system.held()).toBe(0);
  system.nodes.delete('/etc/rediacc/machine.json');
  expect(await look()).toBe(30_000);
});

describe('its size', () => {
  test.each([
    [100 * GIB, 256 * MIB],
    [5 * GIB, Math.floor((5 * GIB) / 50 / 4096) * 4096],
  ])('of %i bytes: %i', (totalBytes, bytes) => {
    expect(datastoreReserve({ totalBytes })).toBe(bytes);
  });

  test('one of an earlier size is made anew', () => {
    expect(judgeReserve({ space: spaceWith(50 * GIB), reserveBytes: 100 * MIB })).toBe('set-aside');
  });
});
