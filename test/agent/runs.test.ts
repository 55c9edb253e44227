import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { identifyProcess } from '../../src/agent/process-identity.ts';
import { listRuns, recoverRuns } from '../../src/agent/run-history.ts';
import { pruneRuns } from '../../src/agent/run-retention.ts';
import type { Runs } from '../../src/agent/runs.ts';
import { command } from '../../src/lifecycle/command.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { JournalEvent } from '../../src/protocol/events.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { gate, runsIn, temporaryDirectory, until, upHandler, upOutput } from './harness.ts';

const UP = { operation: 'repo.up', actor: 'anna@laptop', options: { dryRun: false, waitMs: 0 } } as const;
const SHOP = { ...UP, input: { repo: 'shop' } };

function say({ report }: RunContext, text: string): void {
  report({ kind: 'output', source: 'root up', stream: 'stdout', text });
}

async function followed(runs: Runs, run: RunId, after = 0) {
  const events: JournalEvent[] = [];
  const onEvents = async (some: JournalEvent[]) => void events.push(...some);
  const result = await runs.follow(run, { after, onEvents });
  return { events, result, texts: events.map(({ event }) => (event.kind === 'output' ? event.text : event.kind)) };
}

/** Fills up to its last byte. It needs root. */
async function smallDisk() {
  const directory = await temporaryDirectory();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory]);
  onTestFinished(() => void execFileSync('umount', ['--lazy', directory]));
  const filler = join(directory, 'filler');
  return {
    directory,
    fill: () => void spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096']),
    free: () => rmSync(filler),
  };
}

describe('a run', () => {
  test('has an id that sorts by time, events, and a result with the output of its handler', async () => {
    const directory = await temporaryDirectory();
    const { runs } = await runsIn(
      directory,
      upHandler(async (context) => say(context, context.run)),
    );
    const first = await runs.start(SHOP);
    const { result, texts } = await followed(runs, first);
    expect(result).toEqual({ run: first, outcome: 'done', warnings: [], output: upOutput() });
    expect(texts).toEqual([first]);
    await new Promise((resolve) => setTimeout(resolve, 2));
    const second = await runs.start(SHOP);
    expect(second > first).toBe(true);
    await followed(runs, second);
    expect((await runs.list(10)).map(({ run, outcome, repo }) => [run, outcome, repo])).toEqual([
      [second, 'done', 'shop'],
      [first, 'done', 'shop'],
    ]);
    expect(await runs.list(1)).toHaveLength(1);
  });

  test('whose handler throws has failed, with the error and all warnings', async () => {
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(async ({ report }) => {
        report({ kind: 'warning', message: 'careful' });
        throw new RdcError('NO_SPACE', 'the volume is full', { hint: 'rdc repo resize shop' });
      }),
    );
    const { result } = await followed(runs, await runs.start(SHOP));
    expect(result).toMatchObject({ outcome: 'failed', warnings: ['careful'], error: { code: 'NO_SPACE' } });
    expect(await runs.list(1)).toMatchObject([{ outcome: 'failed', message: 'the volume is full' }]);
  });

  test('leaves the repository free by the time its follower learns that it has ended', async () => {
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(async () => undefined),
    );
    for (let round = 0; round < 10; round++) {
      const run = await runs.start(SHOP);
      expect((await followed(runs, run)).result.outcome).toBe('done');
    }
  });

  test('whose result the disk does not take is told as ended all the same, and written once the disk takes it', async () => {
    const { directory, fill, free } = await smallDisk();
    const { opened, open } = gate();
    const { runs } = await runsIn(
      directory,
      upHandler(async () => opened),
      { lockDir: await temporaryDirectory() },
    );
    const run = await runs.start(SHOP);
    const place = join(directory, 'runs', run, 'result.json');
    fill();
    open();
    expect((await followed(runs, run)).result.outcome).toBe('done');
    // Beyond those that are remembered with their logs.
    const dryRun = { ...SHOP, options: { dryRun: true, waitMs: 0 } };
    for (let round = 0; round < 21; round++) await followed(runs, await runs.start(dryRun));
    expect(await runs.list(1)).toMatchObject([{ run, outcome: 'done' }]);
    expect((await followed(runs, run)).result).toMatchObject({ outcome: 'done', output: upOutput() });
    expect(await runs.cancel(run, 'ben@desk')).toBe(false);
    free();
    await followed(runs, await runs.start(SHOP));
    await runs.settle();
    expect(JSON.parse(await readFile(place, 'utf8'))).toMatchObject({ run, outcome: 'done' });
  });

  test('goes on when nobody follows it', async () => {
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(async (context) => {
        await context.system.sleep(100);
        say(context, 'late');
      }),
    );
    const run = await runs.start(SHOP);
    const gone = new AbortController();
    const following = runs.follow(run, { after: 0, onEvents: async () => undefined, signal: gone.signal });
    gone.abort();
    await expect(following).rejects.toMatchObject({ code: 'CANCELLED' });
    await runs.settle();
    expect((await followed(runs, run)).texts).toEqual(['late']);
  });

  test('can be followed by many, each from where it likes', async () => {
    const { opened, open } = gate();
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(async (context) => {
        for (let index = 1; index <= 50; index++) say(context, String(index));
        await opened;
        for (let index = 51; index <= 100; index++) say(context, String(index));
      }),
    );
    const run = await runs.start(SHOP);
    const all = [0, 10, 50, 75, 100].map((after) => followed(runs, run, after));
    open();
    const texts = (await Promise.all(all)).map((follower) => follower.texts);
    const numbers = Array.from({ length: 100 }, (_, index) => String(index + 1));
    expect(texts).toEqual([numbers, numbers.slice(10), numbers.slice(50), numbers.slice(75), []]);
  });

  test('can be looked at without waiting for its end', async () => {
    const { opened, open } = gate();
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(async (context) => {
        say(context, 'begun');
        await opened;
      }),
    );
    const run = await runs.start(SHOP);
    const look = () => runs.follow(run, { after: 0, wait: false, onEvents: async () => undefined });
    expect(await look()).toEqual({ run, outcome: 'running', warnings: [] });
    open();
    await runs.settle();
    expect(await look()).toMatchObject({ outcome: 'done' });
  });

  test('that does not exist is not found', async () => {
    const { runs } = await runsIn(await temporaryDirectory(), {});
    const nothing = '0123456789ab-01234567' as RunId;
    await expect(followed(runs, nothing)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(runs.cancel(nothing, 'anna')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('for a repository that is not there never begins', async () => {
    const directory = await temporaryDirectory();
    const { runs } = await runsIn(
      directory,
      upHandler(async () => undefined),
    );
    await expect(runs.start({ ...UP, input: { repo: 'nowhere' } })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await readdir(directory)).toEqual([]);
  });
});

describe('contention', () => {
  test('one run per repository, others side by side', async () => {
    const { opened, open } = gate();
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(() => opened),
    );
    const run = await runs.start(SHOP);
    await expect(runs.start(SHOP)).rejects.toMatchObject({ code: 'BUSY', hint: `rdc run attach ${run}` });
    expect(runs.busy('11111111-1111-4111-8111-111111111111')).toMatchObject({ run, actor: 'anna@laptop' });
    const other = await runs.start({ ...UP, input: { repo: 'blog' } });
    expect(runs.active()).toBe(2);
    open();
    expect((await followed(runs, other)).result.outcome).toBe('done');
    await runs.settle();
    expect(runs.busy('11111111-1111-4111-8111-111111111111')).toBeUndefined();
  });

  test('asked for again with the same key, also when it has ended, it is the same run; control: with another it is not', async () => {
    const { opened, open } = gate();
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(() => opened),
    );
    const asked = (key: string) => runs.start({ ...SHOP, options: { ...UP.options, key } });
    const [key, other] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];
    const [first, meanwhile] = await Promise.all([asked(key), asked(key)]);
    expect(meanwhile).toBe(first);
    await expect(asked(other)).rejects.toMatchObject({ code: 'BUSY' });
    open();
    await runs.settle();
    expect(await asked(key)).toBe(first);
    // What was refused is no answer for ever.
    expect(await asked(other)).not.toBe(first);
  });

  test('asked for again while the first asking waits, it outlives the link of the first', async () => {
    const { opened, open } = gate();
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(() => opened),
    );
    await runs.start(SHOP);
    const gone = new AbortController();
    const options = { dryRun: false, waitMs: 60_000, key: '11111111-1111-4111-8111-111111111111' };
    const first = runs.start({ ...SHOP, options, signal: gone.signal });
    const again = runs.start({ ...SHOP, options });
    gone.abort();
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    open();
    expect((await followed(runs, await again)).result.outcome).toBe('done');
  });

  test('a run that waits begins when the one before it ends', async () => {
    const { opened, open } = gate();
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(() => opened),
    );
    const first = await runs.start(SHOP);
    const second = runs.start({ ...SHOP, options: { dryRun: false, waitMs: 30_000 } });
    setTimeout(open, 200);
    expect((await followed(runs, await second)).result.outcome).toBe('done');
    expect((await followed(runs, first)).result.outcome).toBe('done');
  });

  test('a client that goes away while it waits leaves no run behind', async () => {
    const { opened, open } = gate();
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(() => opened),
    );
    await runs.start(SHOP);
    const gone = new AbortController();
    const waiting = runs.start({ ...SHOP, options: { dryRun: false, waitMs: 60_000 }, signal: gone.signal });
    setTimeout(() => gone.abort(), 50);
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    open();
    await runs.settle();
    expect(await runs.list(10)).toHaveLength(1);
  });

  test('all locks of a run or none', async () => {
    const directory = await temporaryDirectory();
    const { opened, open } = gate();
    const subjectsOf = async (_operation: string, input: unknown) =>
      (input as { keys: string[] }).keys.map((key) => ({ key, subject: key }));
    const { runs } = await runsIn(
      directory,
      upHandler(() => opened),
      { subjectsOf },
    );
    await runs.start({ ...UP, input: { keys: ['b'] } });
    await expect(runs.start({ ...UP, input: { keys: ['a', 'b'] } })).rejects.toMatchObject({ code: 'BUSY' });
    await runs.start({ ...UP, input: { keys: ['a'] } });
    open();
  });

  test('what stands behind a name when its lock is had is locked, not what stood there before', async () => {
    let behind = 'old';
    const subjectsOf = async () => [{ key: behind, subject: '"shop"', repo: 'shop' }];
    const [first, second] = [gate(), gate()];
    const gates = [first.opened, second.opened];
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(() => gates.shift() ?? Promise.resolve()),
      { subjectsOf },
    );
    const before = await runs.start(SHOP);
    const waiting = runs.start({ ...SHOP, options: { dryRun: false, waitMs: 30_000 } });
    // It waits for what the name stood for when it was asked.
    await until(async () => (await runs.list(10)).length === 1);
    behind = 'new';
    first.open();
    await followed(runs, before);
    await waiting;
    await expect(runs.start(SHOP)).rejects.toMatchObject({ code: 'BUSY' });
    behind = 'old';
    expect((await followed(runs, await runs.start(SHOP))).result.outcome).toBe('done');
    second.open();
  });

  test('a run whose lock was broken from outside is stopped', async () => {
    const directory = await temporaryDirectory();
    const { runs } = await runsIn(
      directory,
      upHandler(({ system }) => system.sleep(60_000)),
    );
    const run = await runs.start(SHOP);
    const [label = ''] = (await readdir(join(directory, 'locks'))).filter((name) => name.endsWith('.json'));
    process.kill(Number(label.split('.')[1]), 'SIGKILL');
    const { result } = await followed(runs, run);
    expect(result).toMatchObject({ outcome: 'failed', error: { message: expect.stringContaining('lock') } });
  });
});

test('one whose lock was broken has ended before another begins, and its units with it', async () => {
  const directory = await temporaryDirectory();
  const told: string[] = [];
  const [begun, { opened, open }] = [gate(), gate()];
  const { runs } = await runsIn(
    directory,
    upHandler(async ({ run }) => {
      told.push(`begins ${run}`);
      if (told.length > 1) return;
      begun.open();
      // Its programs take their time.
      await opened;
      told.push(`ends ${run}`);
    }),
    { endUnits: async (run) => void told.push(`units of ${run}`) },
  );
  const first = await runs.start(SHOP);
  await begun.opened;
  const waiting = runs.start({ ...SHOP, options: { dryRun: false, waitMs: 30_000 } });
  const label = async () => (await readdir(join(directory, 'locks'))).filter((name) => name.endsWith('.json'));
  const [before = ''] = await label();
  process.kill(Number(before.split('.')[1]), 'SIGKILL');
  // The other one has the lock now.
  await until(async () => (await label()).some((name) => name !== before));
  expect(told).toEqual([`begins ${first}`, `units of ${first}`]);
  open();
  const second = await waiting;
  await followed(runs, second);
  expect(told.indexOf(`begins ${second}`)).toBeGreaterThan(told.indexOf(`ends ${first}`));
});

test('what waits counts as going on, and does not begin when the machine goes down', async () => {
  const { opened, open } = gate();
  const { runs } = await runsIn(
    await temporaryDirectory(),
    upHandler(() => opened),
  );
  await runs.start(SHOP);
  const waiting = runs.start({ ...SHOP, options: { dryRun: false, waitMs: 30_000 } });
  expect(runs.active()).toBe(2);
  runs.cancelAll(new RdcError('CANCELLED', 'the machine is going down'));
  open();
  await expect(waiting).rejects.toMatchObject({ message: 'the machine is going down' });
  await runs.settle();
  expect([runs.active(), (await runs.list(10)).length]).toEqual([0, 1]);
});

describe('cancelling', () => {
  test('ends the whole process tree, waits for its units, and says who did it', async () => {
    const ended: string[] = [];
    const pids: number[] = [];
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(async ({ system }) => {
        await system.run(command('sh', '-c', 'sleep 100 & echo $$ $!; wait'), (_stream, chunk) => {
          pids.push(...String(chunk).trim().split(' ').map(Number));
        });
      }),
      {
        endUnits: async (run) => {
          await new Promise((resolve) => setTimeout(resolve, 100));
          ended.push(run);
        },
      },
    );
    const run = await runs.start(SHOP);
    await until(() => pids.length === 2);
    expect(await runs.cancel(run, 'ben@desk')).toBe(true);
    const { result } = await followed(runs, run);
    expect(result).toMatchObject({
      outcome: 'cancelled',
      error: { code: 'CANCELLED', message: `run ${run} was cancelled by ben@desk` },
    });
    expect(ended).toContain(run);
    for (const pid of pids) expect(await identifyProcess(pid)).toBeUndefined();
    expect(await runs.cancel(run, 'ben@desk')).toBe(false);
    expect(await runs.list(1)).toMatchObject([{ run, outcome: 'cancelled' }]);
  });

  test('all of them, when the machine goes down', async () => {
    const ended: string[] = [];
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(({ system }) => system.sleep(60_000)),
      { endUnits: async (run) => void ended.push(run) },
    );
    const started = [await runs.start(SHOP), await runs.start({ ...SHOP, input: { ...SHOP.input, repo: 'site' } })];
    runs.cancelAll(new RdcError('CANCELLED', 'the machine is going down'));
    for (const run of started) {
      const { result } = await followed(runs, run);
      expect(result).toMatchObject({ outcome: 'cancelled', error: { message: 'the machine is going down' } });
      expect(ended).toContain(run);
    }
    expect(runs.active()).toBe(0);
  });

  test('does not undo what is done', async () => {
    const { runs } = await runsIn(
      await temporaryDirectory(),
      upHandler(({ signal }) => until(() => signal.aborted)),
    );
    const run = await runs.start(SHOP);
    await runs.cancel(run, 'ben@desk');
    expect((await followed(runs, run)).result.outcome).toBe('done');
  });

  test('succeeds although the units cannot be ended, and tells the log', async () => {
    const endUnits = async () => Promise.reject(new Error('no bus'));
    const { runs, troubles } = await runsIn(
      await temporaryDirectory(),
      upHandler(({ system }) => system.sleep(60_000)),
      { endUnits },
    );
    const run = await runs.start(SHOP);
    await runs.cancel(run, 'ben@desk');
    expect((await followed(runs, run)).result.outcome).toBe('cancelled');
    expect(troubles.join()).toContain('no bus');
  });
});

describe('a dry run', () => {
  test('answers with its plan, takes no lock and leaves no trace', async () => {
    const directory = await temporaryDirectory();
    const plan = [{ id: 'a', title: 'do it', expect: 'change' as const }];
    const { runs } = await runsIn(directory, {
      'repo.up': async (_input, { report, dryRun }) => {
        expect(dryRun).toBe(true);
        report({ kind: 'plan', steps: plan });
        return { outcome: 'planned' };
      },
    });
    const run = await runs.start({ ...SHOP, options: { dryRun: true, waitMs: 0 } });
    const { result, texts } = await followed(runs, run);
    expect(result).toEqual({ run, outcome: 'planned', warnings: [], plan });
    expect(texts).toEqual(['plan']);
    await runs.settle();
    // It can be followed again for a while: a link may have dropped.
    expect((await followed(runs, run)).result.outcome).toBe('planned');
    expect(await readdir(directory)).toEqual([]);
  });
});

describe('a disk that takes no more', () => {
  test('keeps nobody from running: the run goes on without a log and says so', async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'file'), '');
    const { runs, troubles } = await runsIn(
      directory,
      upHandler(async (context) => say(context, 'up')),
      {
        runsDir: join(directory, 'file', 'runs'),
      },
    );
    const run = await runs.start(SHOP);
    const { result, texts } = await followed(runs, run);
    expect(result).toMatchObject({ outcome: 'done', output: upOutput() });
    expect(texts).toEqual(['warning', 'up']);
    expect(troubles.join()).toContain('without a log');
  });
});

describe('the next daemon', () => {
  async function leave(directory: string, run: string, owner: object) {
    await mkdir(join(directory, 'runs', run), { recursive: true });
    const request = {
      run,
      operation: 'repo.up',
      repo: 'shop',
      actor: 'anna@laptop',
      startedAt: 1000,
      input: {},
      owner,
    };
    await writeFile(join(directory, 'runs', run, 'request.json'), JSON.stringify(request));
    const event = { run, seq: 1, at: 1000, event: { kind: 'warning', message: 'here' } };
    await writeFile(join(directory, 'runs', run, 'events.jsonl'), `${JSON.stringify(event)}\n{"torn`);
    await utimes(join(directory, 'runs', run, 'events.jsonl'), 5, 5);
  }

  test('marks the runs of a dead one interrupted after ending their units, and leaves those of a live one', async () => {
    const directory = await temporaryDirectory();
    const self = await identifyProcess(process.pid);
    const ago = ['000000000001-00000001', '000000000001-00000002', '000000000001-00000003'] as const;
    await leave(directory, ago[0], { pid: process.pid, startTicks: 1, bootId: self?.bootId });
    await leave(directory, ago[1], { ...self, bootId: 'another boot' });
    await leave(directory, ago[2], { ...self });
    const ended: string[] = [];
    const { runs } = await runsIn(directory, {}, { endUnits: async (run) => void ended.push(run) });
    await runs.recover();
    expect(ended.sort()).toEqual([ago[0], ago[1]]);
    const { result, texts } = await followed(runs, ago[0] as RunId);
    expect(result).toMatchObject({ outcome: 'interrupted', error: { code: 'RUN_INTERRUPTED' } });
    expect(texts).toEqual(['warning']);
    const summaries = await runs.list(10);
    // Older than 30 days, but one of them goes on.
    expect(summaries.find(({ run }) => run === ago[2])).toMatchObject({ outcome: 'running' });
  });

  test.each([
    ['before its start, by a coarser clock', 0.9996, 1000],
    ['between two milliseconds', 7.0004, 7000],
  ])('a run that was cut off ends after its start: its last event came %s', async (_, seconds, endedAt) => {
    const directory = await temporaryDirectory();
    const run = '000000000001-00000001';
    await leave(directory, run, { pid: process.pid, startTicks: 1, bootId: 'x' });
    await utimes(join(directory, 'runs', run, 'events.jsonl'), seconds, seconds);
    const nothing = { unitRuns: async () => [], endUnits: async () => undefined, onTrouble: () => undefined };
    await recoverRuns(join(directory, 'runs'), nothing);
    expect(await listRuns(join(directory, 'runs'), 1)).toMatchObject([{ run, endedAt }]);
  });

  test('ends the units of a run whose directory no disk has taken; control: those of one that goes on stay', async () => {
    const directory = await temporaryDirectory();
    const [without, going] = ['000000000001-00000001', '000000000001-00000002'] as const;
    await leave(directory, going, { ...(await identifyProcess(process.pid)) });
    const ended: string[] = [];
    const endUnits = async (run: string) => void ended.push(run);
    const { runs } = await runsIn(directory, {}, { endUnits, unitRuns: async () => [without, going] as RunId[] });
    await runs.recover();
    expect(ended).toEqual([without]);
  });

  test('starts also where the disk takes no mark, and tells of the run as interrupted', async () => {
    const { directory, fill } = await smallDisk();
    const run = '000000000001-00000001' as RunId;
    await leave(directory, run, { pid: process.pid, startTicks: 1, bootId: 'x' });
    fill();
    const { runs, troubles } = await runsIn(directory, {});
    await runs.recover();
    expect(troubles.join()).toContain(`the end of run ${run} cannot be kept`);
    expect(await runs.list(1)).toMatchObject([{ run, outcome: 'interrupted' }]);
  });

  test('follows a run that the one before it is still finishing', async () => {
    const directory = await temporaryDirectory();
    const { opened, open } = gate();
    const work = upHandler(async (context) => {
      say(context, 'one');
      await opened;
      say(context, 'two');
    });
    const { runs: before } = await runsIn(directory, work);
    const { runs: after } = await runsIn(directory, work);
    const run = await before.start(SHOP);
    const following = followed(after, run);
    await expect(after.start(SHOP)).rejects.toMatchObject({ code: 'BUSY' });
    await expect(after.cancel(run, 'ben@desk')).rejects.toMatchObject({ code: 'FAILED' });
    open();
    const { result, texts } = await following;
    expect(texts).toEqual(['one', 'two']);
    expect(result).toMatchObject({ run, outcome: 'done', output: upOutput() });
  });
});

test('nothing that is kept of a run holds a credential', async () => {
  const directory = await temporaryDirectory();
  const marked = `marked-${'x'.repeat(20)}`;
  const { runs } = await runsIn(directory, {
    'repo.mount': async ({ credential }, { report, system }) => {
      report({ kind: 'warning', message: `opening with ${credential}` });
      await system.run({ ...command('sh', '-c', 'cat >/dev/null; exit 2'), stdin: credential ?? '' });
      throw new Error('not reached');
    },
  });
  const input = { repo: 'shop', credential: new Secret(marked) };
  const run = await runs.start({ ...UP, operation: 'repo.mount', input });
  expect(JSON.stringify(await followed(runs, run))).not.toContain(marked);
  const names = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  expect(files.length).toBeGreaterThanOrEqual(3);
  for (const file of files) expect(await readFile(file, 'latin1')).not.toContain(marked);
  const request = await readFile(join(directory, 'runs', run, 'request.json'), 'utf8');
  expect(JSON.parse(request)).toMatchObject({ input: { repo: 'shop', credential: '[secret]' } });
});

describe('retention', () => {
  const limits = { mostRuns: 5, oldestMs: 3_600_000, mostBytes: 10_000 };

  async function keep(directory: string, ageMs: number, bytes: number, goesOn = false) {
    const run = `${(Date.now() - ageMs).toString(16).padStart(12, '0')}-00000000`;
    await mkdir(join(directory, run), { recursive: true });
    const request = {
      run,
      operation: 'repo.up',
      actor: 'a@b',
      startedAt: 1,
      owner: await identifyProcess(process.pid),
    };
    await writeFile(join(directory, run, 'request.json'), JSON.stringify(request));
    await writeFile(join(directory, run, 'events.jsonl'), 'x'.repeat(bytes));
    const result = { run, outcome: 'done', warnings: [], endedAt: 1 };
    if (!goesOn) await writeFile(join(directory, run, 'result.json'), JSON.stringify(result));
    return run;
  }

  test.each([
    ['count', Array.from({ length: 8 }, (_, index) => [index * 1000, 10] as const), 5],
    ['age', [[0, 10] as const, [3_500_000, 10] as const, [3_700_000, 10] as const], 2],
    ['bytes', [[0, 4000] as const, [1000, 4000] as const, [2000, 4000] as const], 2],
  ])('by %s: the newest stay', async (_name, given, left) => {
    const directory = await temporaryDirectory();
    const runs: string[] = [];
    for (const [age, bytes] of given) runs.push(await keep(directory, age, bytes));
    await pruneRuns(directory, limits);
    expect((await readdir(directory)).sort()).toEqual(runs.slice(0, left).sort());
  });

  test('never removes one that goes on, nor what is no run', async () => {
    const directory = await temporaryDirectory();
    const old = await keep(directory, 99_000_000, 20_000, true);
    await writeFile(join(directory, 'notes.txt'), '');
    await pruneRuns(directory, limits);
    expect((await readdir(directory)).sort()).toEqual([old, 'notes.txt'].sort());
    await pruneRuns(join(directory, 'absent'), limits);
  });
});
