import { once } from 'node:events';
import { createConnection } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { JournalEvent } from '../../src/protocol/events.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { agentIn, connectTo, GUID, gate, sayHello, temporaryDirectory, until, upHandler, upOutput } from './harness.ts';

const HELLO = { rdc: 1, protocol: 1, version: '0.1.0', actor: 'anna@laptop', session: { type: 'rpc' } } as const;

function say({ report }: RunContext, text: string): void {
  report({ kind: 'output', source: 'root up', stream: 'stdout', text });
}

function collect() {
  const events: JournalEvent[] = [];
  const started: RunId[] = [];
  const follower = {
    onStarted: (run: RunId) => void started.push(run),
    onEvent: (event: JournalEvent) => void events.push(event),
  };
  return {
    events,
    started,
    follower,
    texts: () => events.map(({ event }) => (event.kind === 'output' ? event.text : '')),
  };
}

describe('the hello', () => {
  test('is answered with version, bundle and whether the machine is set up', async () => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {}, { isSetUp: async () => false });
    const { hello } = await connectTo(socketPath);
    expect(hello).toEqual({ renet: 1, protocol: 1, version: '0.1.0', bundle: 'ab'.repeat(32), setUp: false });
  });

  test.each([
    ['of another protocol', { ...HELLO, protocol: 2 } as never, 'AGENT_MISMATCH', 'protocol 1, this rdc speaks 2'],
    ['that is no JSON', 'GET / HTTP/1.1\r\n\r\n', 'INVALID_INPUT', 'no hello of rdc'],
    ['that is JSON and nothing else', '42\n', 'INVALID_INPUT', 'no hello of rdc'],
    ['that lacks a field', { ...HELLO, actor: undefined } as never, 'INVALID_INPUT', 'hello: actor'],
    ['of an unknown kind', { ...HELLO, session: { type: 'shell' } } as never, 'INVALID_INPUT', 'hello: session'],
    ['that has no end', 'x'.repeat(70_000), 'INVALID_INPUT', 'too long'],
  ])('%s is refused', async (_name, hello, code, message) => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {});
    const [line = '', ...rest] = await sayHello(socketPath, hello);
    expect(rest).toEqual([]);
    expect(line.startsWith('{"renet":1,')).toBe(true);
    expect(JSON.parse(line)).toMatchObject({ protocol: 1, error: { code, message: expect.stringContaining(message) } });
  });

  test('that never comes is not waited for', async () => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {}, { helloMs: 100 });
    const [line = ''] = await sayHello(socketPath, '');
    expect(JSON.parse(line)).toMatchObject({ error: { message: 'no hello came' } });
  });

  test('for a stream carries the reason why there is none', async () => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {});
    const stream = { kind: 'rsync', repo: 'shop', argv: ['rsync', '--server', '.', '.'], directory: '' } as never;
    const [line = ''] = await sayHello(socketPath, { ...HELLO, session: { type: 'stream', stream } });
    expect(JSON.parse(line)).toMatchObject({ error: { code: 'FAILED', hint: 'rdc repo mount shop' } });
  });

  test('and the bytes of a stream that come with it are not lost, nor is either half closed early', async () => {
    const { socketPath } = await agentIn(
      await temporaryDirectory(),
      {},
      {
        openStream: async () => async (socket) => {
          let got = '';
          // Iterating over it would destroy it at its end.
          socket.on('data', (chunk) => {
            got += String(chunk);
          });
          await once(socket, 'end');
          socket.write(`got ${got}\n`);
        },
      },
    );
    const stream = { kind: 'rsync', repo: 'shop', argv: ['rsync', '--server', '.', '.'], directory: '' };
    const hello = JSON.stringify({ ...HELLO, session: { type: 'stream', stream } });
    const socket = createConnection({ path: socketPath, allowHalfOpen: true });
    socket.end(`${hello}\nbytes`);
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text.split('\n')[1]).toBe('got bytes');
  });

  test('of an upgrade is understood whatever the protocol', async () => {
    const { socketPath } = await agentIn(
      await temporaryDirectory(),
      {},
      {
        serveUpgrade: async (socket, { version }) => void socket.write(`${version}\n`),
      },
    );
    const upgrade = { type: 'upgrade', version: '9.9.9', sha256: 'ab'.repeat(32), bytes: 1 } as const;
    const lines = await sayHello(socketPath, { ...HELLO, protocol: 7, session: upgrade } as never);
    expect(lines[1]).toBe('9.9.9');
  });
});

describe('requests', () => {
  test('are answered: a question by its handler, a run by its events and its result', async () => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {
      ...upHandler(async (context) => say(context, 'hello')),
      'repo.list': async () => ({ repositories: [] }),
    });
    const client = await connectTo(socketPath);
    expect(await client.call('repo.list', {})).toEqual({ repositories: [] });
    const { events, started, follower, texts } = collect();
    const result = await client.run('repo.up', { repo: 'shop' as never }, {}, follower);
    expect(result).toEqual({ run: started[0], outcome: 'done', warnings: [], output: upOutput() });
    expect(texts()).toEqual(['hello']);
    expect(events[0]).toMatchObject({ run: started[0], seq: 1 });
    expect((await client.call('run.list', {})).runs).toMatchObject([{ run: started[0], actor: 'anna@laptop' }]);
  });

  test.each([
    ['repo.up', { repo: 'a/b' }, 'repo up: repo: "a/b" is no legal repository name'],
    ['repo.up', { repo: 'shop', timeoutMs: -1 }, 'repo up: timeoutMs: '],
    ['repo.mount', { repo: 'shop', credential: '' }, 'repo mount: credential: the credential is empty'],
    ['repo.mount', { repo: 'shop', credential: 'two\nlines' }, 'credential: the credential contains a line break'],
    ['repo.explode', {}, 'this agent knows no operation "repo.explode"'],
    ['repo.list', {}, 'this agent knows no operation "repo.list"'],
  ])('%s with bad input %j are refused by name', async (operation, input, message) => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {});
    const client = await connectTo(socketPath);
    const refused = client.run(operation as 'repo.up', input as never, {}, {});
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining(message) });
    const secret = (input as { credential?: string }).credential;
    if (secret) await expect(refused).rejects.not.toThrow(secret);
  });

  test('fail with the code, the hint and the cause of the agent', async () => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {
      'repo.list': async () => {
        throw new RdcError('HOST_NOT_SUITABLE', 'no disk', { hint: 'plug it in', cause: new Error('unplugged') });
      },
    });
    const client = await connectTo(socketPath);
    await expect(client.call('repo.list', {})).rejects.toMatchObject({
      code: 'HOST_NOT_SUITABLE',
      message: 'no disk',
      hint: 'plug it in',
      cause: 'unplugged',
    });
    await expect(client.follow('0123456789ab-01234567' as RunId, 0, {})).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('on a busy repository name the other one, also from another connection', async () => {
    const { opened: held, open: finish } = gate();
    const { socketPath, runs } = await agentIn(
      await temporaryDirectory(),
      upHandler(() => held),
    );
    const [anna, ben] = [await connectTo(socketPath), await connectTo(socketPath, 'ben@desk')];
    const { started, follower } = collect();
    const first = anna.run('repo.up', { repo: 'shop' as never }, {}, follower);
    await until(() => started.length === 1);
    await expect(ben.run('repo.up', { repo: 'shop' as never }, {}, {})).rejects.toMatchObject({
      code: 'BUSY',
      message: expect.stringContaining('by anna@laptop (repo up, run '),
      hint: `rdc run attach ${started[0]}`,
    });
    const told: RdcError[] = [];
    const onWaiting = (why: RdcError) => void told.push(why);
    const waiting = ben.run('repo.up', { repo: 'shop' as never }, { waitMs: 30_000 }, { onWaiting });
    await until(() => told.length === 1);
    expect(told[0]).toMatchObject({
      message: expect.stringMatching(/^"shop" is being changed since .* by anna@laptop \(repo up, run [^)]*\)$/),
      hint: `rdc run attach ${started[0]}`,
    });
    finish();
    expect((await first).outcome).toBe('done');
    expect((await waiting).outcome).toBe('done');
    expect(runs.busy(GUID)).toBeUndefined();
  });
});

describe('a client that goes away', () => {
  test('does not end its run; another one follows it from where the first stopped', async () => {
    const { opened, open } = gate();
    const { socketPath } = await agentIn(
      await temporaryDirectory(),
      upHandler(async (context) => {
        for (let index = 1; index <= 20; index++) say(context, String(index));
        await opened;
        for (let index = 21; index <= 40; index++) say(context, String(index));
      }),
    );
    const first = await connectTo(socketPath);
    const before = collect();
    const lost = first.run('repo.up', { repo: 'shop' as never }, {}, before.follower);
    await until(() => before.events.length === 20);
    first.socket.destroy();
    await expect(lost).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    open();
    const run = before.started[0] as RunId;
    const second = await connectTo(socketPath);
    const after = collect();
    const result = await second.follow(run, before.events.length, after.follower);
    expect(result).toMatchObject({ run, outcome: 'done' });
    expect([...before.texts(), ...after.texts()]).toEqual(Array.from({ length: 40 }, (_, index) => String(index + 1)));
  });

  test('while it waits for a busy repository takes its request along', async () => {
    const { socketPath, runs } = await agentIn(
      await temporaryDirectory(),
      upHandler(({ signal }) => until(() => signal.aborted)),
    );
    const anna = await connectTo(socketPath);
    const { started, follower } = collect();
    const first = anna.run('repo.up', { repo: 'shop' as never }, {}, follower);
    await until(() => started.length === 1);
    const ben = await connectTo(socketPath, 'ben@desk');
    const waiting = ben.run('repo.up', { repo: 'shop' as never }, { waitMs: 60_000 }, {});
    setTimeout(() => ben.socket.destroy(), 100);
    await expect(waiting).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await anna.cancel(started[0] as RunId);
    expect((await first).outcome).toBe('done');
    await runs.settle();
    expect(await runs.list(10)).toHaveLength(1);
  });

  test('ends its session by closing its half', async () => {
    const { socketPath } = await agentIn(await temporaryDirectory(), {});
    const client = await connectTo(socketPath);
    const ended = once(client.socket, 'end');
    client.socket.end();
    await ended;
  });
});

test('a follower that reads slowly holds up nobody and costs no memory', async () => {
  const total = 60_000;
  const { socketPath, runs } = await agentIn(
    await temporaryDirectory(),
    upHandler(async (context) => {
      for (let index = 1; index <= total; index++) {
        say(context, `${String(index).padStart(6, '0')} ${'x'.repeat(500)}`);
        if (index % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    }),
  );
  const client = await connectTo(socketPath);
  const slow = collect();
  const following = client.run('repo.up', { repo: 'shop' as never }, {}, slow.follower);
  await until(() => slow.started.length === 1);
  client.socket.pause();
  // 30 MB of events are behind it by the time the run has ended.
  await runs.settle();
  const before = process.memoryUsage().arrayBuffers;
  expect(slow.events.length).toBeLessThan(total / 2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1024 ** 2);
  client.socket.resume();
  expect((await following).outcome).toBe('done');
  expect(slow.events.map(({ seq }) => seq)).toEqual(Array.from({ length: total }, (_, index) => index + 1));
}, 60_000);

test('cancelling over the wire is answered at once, and the end is seen by following', async () => {
  const { socketPath } = await agentIn(
    await temporaryDirectory(),
    upHandler(({ system }) => system.sleep(60_000)),
  );
  const client = await connectTo(socketPath);
  const { started, follower } = collect();
  const following = client.run('repo.up', { repo: 'shop' as never }, {}, follower);
  await until(() => started.length === 1);
  const other = await connectTo(socketPath, 'ben@desk');
  await other.cancel(started[0] as RunId);
  expect(await following).toMatchObject({
    outcome: 'cancelled',
    error: { message: expect.stringContaining('ben@desk') },
  });
});
