import { once } from 'node:events';
import { readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { JournalEvent } from '../../src/protocol/events.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { connectTo, temporaryDirectory, until } from './harness.ts';
import { bundle, type Running, run } from './process.ts';

async function daemonIn(directory: string, script: string): Promise<Running & { socketPath: string }> {
  const socketPath = join(directory, 'agent.sock');
  const daemon = run(script, [directory, socketPath]);
  await daemon.saying('listening');
  return { ...daemon, socketPath };
}

describe('kill -9 of the daemon', () => {
  test('interrupts its run, and the next one ends what it left, frees the repository and tells the story', async () => {
    const directory = await temporaryDirectory();
    const script = await bundle('agent-process.ts', directory);
    const first = await daemonIn(directory, script);
    const client = await connectTo(first.socketPath);
    const events: JournalEvent[] = [];
    let id: RunId | undefined;
    const lost = client.run(
      'repo.up',
      { repo: 'shop' as never },
      {},
      {
        onStarted: (started) => {
          id = started;
        },
        onEvent: (event) => void events.push(event),
      },
    );
    const ending = expect(lost).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await until(() => events.length === 5);
    const killed = once(first.child, 'close');
    first.child.kill('SIGKILL');
    await killed;
    await ending;

    await rm(first.socketPath, { force: true });
    const second = await daemonIn(directory, script);
    expect(second.said()).toContain(`ended units of ${id}`);
    const again = await connectTo(second.socketPath);
    const kept: JournalEvent[] = [];
    const result = await again.follow(id as RunId, 2, { onEvent: (event) => void kept.push(event) });
    expect(result).toMatchObject({ run: id, outcome: 'interrupted', error: { hint: expect.any(String) } });
    expect(kept).toEqual(events.slice(2));
    expect((await again.call('run.list', {})).runs).toMatchObject([{ run: id, outcome: 'interrupted' }]);
    // The lock fell with its holder.
    let started = false;
    void again
      .run(
        'repo.up',
        { repo: 'shop' as never },
        {},
        {
          onStarted: () => {
            started = true;
          },
        },
      )
      .catch(() => undefined);
    await until(() => started);
  });
});

describe('the bridge', () => {
  async function bridgeTo(socketPath: string, directory: string) {
    return run(await bundle('connect-process.ts', directory), [socketPath]);
  }

  const HELLO = JSON.stringify({
    rdc: 1,
    protocol: 1,
    version: '0.1.0',
    actor: 'anna@laptop',
    session: { type: 'stream', stream: { kind: 'rsync', repo: 'shop', argv: ['rsync', '--server'], directory: '' } },
  });

  test('carries every byte both ways, each half closed on its own', async () => {
    const directory = await temporaryDirectory();
    const { socketPath } = await daemonIn(directory, await bundle('agent-process.ts', directory));
    const bridge = await bridgeTo(socketPath, directory);
    const bytes = Buffer.alloc(8 * 1024 ** 2, 'The quick brown fox. ');
    bridge.child.stdin?.write(`${HELLO}\n`);
    bridge.child.stdin?.end(bytes);
    const [code] = await once(bridge.child, 'close');
    expect(code).toBe(0);
    const text = bridge.said();
    expect(text.length - text.indexOf('\n') - 1).toBe(bytes.length);
    expect(text.endsWith(bytes.subarray(-1000).toString())).toBe(true);
  }, 20_000);

  test('ends when the agent is killed, although its own stdin stays open', async () => {
    const directory = await temporaryDirectory();
    const daemon = await daemonIn(directory, await bundle('agent-process.ts', directory));
    const bridge = await bridgeTo(daemon.socketPath, directory);
    bridge.child.stdin?.write(`${HELLO}\n`);
    await bridge.saying('"renet":1');
    daemon.child.kill('SIGKILL');
    await once(bridge.child, 'close');
  });

  test('ends the session when it is killed itself', async () => {
    const directory = await temporaryDirectory();
    const daemon = await daemonIn(directory, await bundle('agent-process.ts', directory));
    const bridge = await bridgeTo(daemon.socketPath, directory);
    bridge.child.stdin?.write(`${HELLO}\n`);
    await bridge.saying('"renet":1');
    const open = async () => {
      const fds = await readdir(`/proc/${daemon.child.pid}/fd`);
      const links = await Promise.all(fds.map((fd) => readlink(`/proc/${daemon.child.pid}/fd/${fd}`).catch(() => '')));
      return links.filter((link) => link.startsWith('socket:')).length;
    };
    const served = await open();
    bridge.child.kill('SIGKILL');
    await until(async () => (await open()) < served);
  });

  test('says in the form of a hello that there is no agent', async () => {
    const directory = await temporaryDirectory();
    const bridge = await bridgeTo(join(directory, 'absent.sock'), directory);
    const [code] = await once(bridge.child, 'close');
    expect(code).toBe(1);
    expect(bridge.said().startsWith('{"renet":1,')).toBe(true);
    expect(JSON.parse(bridge.said())).toMatchObject({
      setUp: false,
      error: { code: 'NOT_SET_UP', message: expect.stringContaining('ENOENT') },
    });
  });
});
