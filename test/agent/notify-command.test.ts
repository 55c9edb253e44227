// The administrator's command: what it is given, and that it holds up nothing.
import { expect, test, vi } from 'vitest';
import { createNotifier } from '../../src/agent/notify-command.ts';
import type { Guid, RepoName } from '../../src/protocol/ids.ts';
import type { SupervisionEvent } from '../../src/protocol/supervision.ts';
import { type FakeAnswer, FakeSystem } from '../helpers/fake-system.ts';

const EVENT: SupervisionEvent = {
  at: 1_700_000_000_000,
  kind: 'needs-attention',
  repo: 'shop' as RepoName,
  guid: '11111111-1111-4111-8111-111111111111' as Guid,
  message: 'it says "no"',
};

function notifier(commandLine: string | null, answer: () => FakeAnswer | Promise<FakeAnswer> = () => '') {
  const calls: { args: readonly string[]; stdin: string }[] = [];
  const failures: string[] = [];
  const system = new FakeSystem();
  system.program('systemd-run', ({ args, stdin }) => {
    calls.push({ args, stdin });
    return answer();
  });
  const { notify } = createNotifier({
    system,
    commandLine: async () => commandLine,
    onFailure: (message) => failures.push(message),
  });
  return { notify, calls, failures };
}

test('one line of JSON on stdin, in a unit with a limit; nothing of it in the arguments', async () => {
  const { notify, calls } = notifier('cat > /root/event');
  notify(EVENT);
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  expect(calls[0]?.args.slice(-3)).toEqual(['/bin/sh', '-c', 'cat > /root/event']);
  expect(calls[0]?.args).toContain('--property=RuntimeMaxSec=60');
  expect(calls[0]?.args.join(' ')).not.toContain('shop');
  expect(calls[0]?.stdin.endsWith('}\n')).toBe(true);
  expect(JSON.parse(calls[0]?.stdin ?? '')).toMatchObject({
    time: '2023-11-14T22:13:20.000Z',
    kind: 'needs-attention',
    repository: 'shop',
    message: 'it says "no"',
  });
});

test('none is set: nothing runs', async () => {
  const silent = notifier(null);
  const control = notifier('true');
  for (const { notify } of [silent, control]) notify(EVENT);
  await vi.waitFor(() => expect(control.calls).toHaveLength(1));
  expect(silent.calls).toEqual([]);
});

test('one that fails is told, and the next event is given to it all the same', async () => {
  const { notify, calls, failures } = notifier('false', () => ({ exitCode: 1, stderr: 'no such host' }));
  notify(EVENT);
  notify(EVENT);
  await vi.waitFor(() => expect(failures).toHaveLength(2));
  expect(calls).toHaveLength(2);
});

test('one that hangs holds up nothing: twenty wait, the rest is dropped and told', async () => {
  const { notify, calls, failures } = notifier('sleep', () => new Promise<FakeAnswer>(() => undefined));
  for (let index = 0; index < 21; index += 1) notify(EVENT);
  await vi.waitFor(() => expect(calls).toHaveLength(1));
  expect(failures).toEqual(['the notify command is too slow: events are not given to it any more']);
});
