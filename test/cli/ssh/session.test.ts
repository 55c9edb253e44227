// Sessions: both clients against the same table, on a real sshd.
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clients, failureOf, outputOf } from './clients.ts';
import { startSshd, type TestSshd } from './sshd.ts';

let sshd: TestSshd;
beforeAll(async () => {
  sshd = await startSshd('MaxSessions 1');
});
afterAll(() => sshd.stop());

describe.each(clients)('%s', (_name, transport) => {
  test.each([
    ["it's", '"quoted"', '$(id)', '`id`', '$HOME'],
    ['two\nlines', 'tab\there', '', ' ', '\\', '\\n', "'\\''"],
    ['*', '~', '!!', '#', ';rm', '&', '|', '<>', '-n', '{a,b}', 'ünï'],
  ])('words arrive as they are', async (...words) => {
    const session = transport.open(sshd.target(), ['printf', '%s\\0', ...words]);
    session.stdin.end();
    expect((await outputOf(session)).toString().split('\0').slice(0, -1)).toEqual(words);
    expect(await session.ended).toEqual({ exitCode: 0 });
  });

  test('20 MB go both ways unchanged', async () => {
    const sent = randomBytes(20 * 1024 ** 2);
    const session = transport.open(sshd.target(), ['cat']);
    session.stdin.end(sent);
    const got = await outputOf(session);
    expect(got.length).toBe(sent.length);
    expect(createHash('sha256').update(got).digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
  });

  test.each([0, 1, 3, 127, 255])('exit code %i passes through', async (code) => {
    const session = transport.open(sshd.target(), ['sh', '-c', `echo said >&2; exit ${code}`]);
    session.stdout.resume();
    expect(await session.ended).toEqual({ exitCode: code });
    expect(session.stderrText()).toBe('said\n');
  });

  test('a command ended by a signal counts as 255', async () => {
    const session = transport.open(sshd.target(), ['sh', '-c', 'kill -9 $$']);
    session.stdout.resume();
    expect(await session.ended).toEqual({ exitCode: 255 });
  });

  test('stderr is bounded', async () => {
    const session = transport.open(sshd.target(), ['sh', '-c', 'yes | head -c 1000000 >&2; echo end >&2']);
    session.stdout.resume();
    await session.ended;
    expect(session.stderrText().length).toBeLessThanOrEqual(64 * 1024);
    expect(session.stderrText()).toMatch(/end\n$/);
  });

  test('a server that dies in the middle', async () => {
    const error = await failureOf(() => transport.open(sshd.target(), ['sh', '-c', 'echo x; kill -9 $PPID; sleep 5']));
    expect(error).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  test('close ends the session and settles it', async () => {
    const session = transport.open(sshd.target(), ['sleep', '60']);
    setTimeout(() => session.close(), 300);
    expect((await session.ended).exitCode).toBeTypeOf('number');
  });

  test('an aborted signal ends the session', async () => {
    const controller = new AbortController();
    const session = transport.open(sshd.target(), ['sleep', '60'], { signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    expect((await session.ended).exitCode).toBeTypeOf('number');
  });

  test('one session is all it takes (MaxSessions 1), however often', async () => {
    for (let round = 0; round < 3; round++) {
      const session = transport.open(sshd.target(), ['echo', String(round)]);
      expect((await outputOf(session)).toString()).toBe(`${round}\n`);
    }
  });
});
