// A server that takes only so many logins at once: both clients, on a real sshd whose one place somebody holds.
import { createConnection, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { TurnedAway } from '../../../src/cli/ssh/failure.ts';
import { untilTaken } from '../../../src/cli/ssh/turned-away.ts';
import { clients, failureOf, outputOf } from './clients.ts';
import { startSshd, type TestSshd } from './sshd.ts';

let sshd: TestSshd;
const held: Socket[] = [];

beforeAll(async () => {
  // The second one at a time is turned away.
  sshd = await startSshd('MaxStartups 1:100:1');
});
afterAll(() => sshd.stop());
afterEach(() => {
  for (const socket of held.splice(0)) socket.destroy();
});

/** Comes and says nothing: sshd waits for it. Once it has been greeted, its place is taken. */
async function takeThePlace(): Promise<void> {
  for (;;) {
    const socket = createConnection({ host: '127.0.0.1', port: sshd.port });
    const greeted = await new Promise<boolean>((resolve) => {
      socket.once('data', (data) => resolve(data.toString().startsWith('SSH-')));
      socket.once('close', () => resolve(false));
      socket.once('error', () => resolve(false));
    });
    if (greeted) {
      held.push(socket);
      return;
    }
  }
}

describe.each(clients)('%s', (_name, transport) => {
  const open = () => transport.open(sshd.target(), ['echo', 'in']);
  const attempt = async () => {
    const session = open();
    const text = (await outputOf(session)).toString();
    await session.ended;
    return text;
  };

  test('is tried again until there is room, and each time is told', async () => {
    await takeThePlace();
    const told: string[] = [];
    const report = (message: string) => {
      told.push(message);
      if (told.length === 2) for (const socket of held.splice(0)) socket.destroy();
    };
    expect(await untilTaken(attempt, { report, waits: Array(50).fill(200) })).toBe('in\n');
    expect(told.length).toBeGreaterThanOrEqual(2);
    expect(new Set(told)).toEqual(new Set(['machine "prod-1" takes no more logins at this moment; trying again']));
  });

  test('control: once, it fails as unreachable, retryable, and says what to look at', async () => {
    await takeThePlace();
    const error = await failureOf(open);
    expect(error).toBeInstanceOf(TurnedAway);
    expect(error).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('hung up before the login') });
    expect(error.hint).toContain('MaxStartups');
    await expect(untilTaken(attempt, { report: () => undefined, waits: [1, 1] })).rejects.toBeInstanceOf(TurnedAway);
  });

  test('Ctrl-C ends the waiting', async () => {
    await takeThePlace();
    const controller = new AbortController();
    const waiting = untilTaken(attempt, {
      report: () => controller.abort(),
      waits: [600_000],
      signal: controller.signal,
    });
    await expect(waiting).rejects.toBeInstanceOf(TurnedAway);
  });
});

test('other failures are not tried again', async () => {
  const [, transport] = clients[0] ?? [];
  let tries = 0;
  const attempt = async () => {
    tries += 1;
    throw await failureOf(() => (transport as NonNullable<typeof transport>).open(sshd.target({ port: 1 }), ['true']));
  };
  await expect(untilTaken(attempt, { report: () => undefined })).rejects.toMatchObject({ code: 'UNREACHABLE' });
  expect(tries).toBe(1);
});
