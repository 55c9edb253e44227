// Watching a run: over more than one connection, not at all, and how a second Ctrl-C reaches the run itself.
import { describe, expect, test } from 'vitest';
import type { AgentClient, Follower } from '../../src/cli/agent-client.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { JournalEvent } from '../../src/protocol/events.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import type { RunResult } from '../../src/protocol/operations.ts';
import { workstation } from '../helpers/cli-world.ts';
import type { FakeMachine } from '../helpers/fake-agent.ts';

const lost = () => new RdcError('CONNECTION_LOST', 'the connection to "m" was lost');

/** A machine whose first connection drops after `seen` events of a run, and whose later ones do what `next` says. */
function breaking(machine: FakeMachine, seen: number, next: (attempt: number) => void = () => undefined) {
  const follows: number[] = [];
  let attempts = 0;
  const connect = async (): Promise<AgentClient> => {
    attempts += 1;
    if (attempts > 1) next(attempts - 1);
    const client = machine.connect();
    const run: AgentClient['run'] = async (operation, input, options, follower) => {
      let given = 0;
      const part: Follower = {
        onStarted: (id) => follower.onStarted?.(id),
        onEvent: (event) => {
          given += 1;
          if (given <= seen) follower.onEvent?.(event);
        },
      };
      await client.run(operation, input, options, part);
      throw lost();
    };
    const follow: AgentClient['follow'] = async (id, after, follower) => {
      follows.push(after);
      // Once more what has come already: a stream that repeats itself is no reason to show it twice.
      return await client.follow(id, Math.max(0, after - 1), follower);
    };
    return Object.assign(Object.create(client) as AgentClient, { run, follow, close: () => client.close() });
  };
  return { connect, follows, attempts: () => attempts };
}

describe('a link that drops', () => {
  test('the run is followed on from the last event that was seen, and its end is the command’s', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const link = breaking(machine, 2);
    const { exitCode, stdout, stderr } = await rdc('repo up shop', { replace: { connect: link.connect } });
    expect(exitCode).toBe(0);
    expect(link.follows).toEqual([2]);
    expect(stderr.match(/root up \| Starting services/g)).toHaveLength(1);
    expect(stdout).toContain('127.0.11.2');
  });

  test('a machine that stays away for a while is tried again', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const link = breaking(machine, 1, (attempt) => {
      if (attempt < 5) throw new RdcError('UNREACHABLE', 'no route to "m"');
    });
    const { exitCode } = await rdc('repo up shop', { replace: { connect: link.connect } });
    expect({ exitCode, attempts: link.attempts() }).toEqual({ exitCode: 0, attempts: 6 });
  });

  test.each([
    ['drops more often than it is tried again after one drop, and carries something in between', true, 0],
    ['control: and carries nothing', false, 5],
  ])('one that %s', async (_, carries, exitCode) => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const [id, last] = ['0123456789ab-00000009' as RunId, 60];
    let attempts = 0;
    const connect = async (): Promise<AgentClient> => {
      attempts += 1;
      const client = machine.connect();
      const run = (async (_operation, _input, _options, { onStarted }) => {
        onStarted?.(id);
        throw lost();
      }) as AgentClient['run'];
      const follow: AgentClient['follow'] = async (_id, after, { onEvent }) => {
        const event = { kind: 'warning', message: `word ${after + 1}` } as const;
        if (carries) onEvent?.({ run: id, seq: after + 1, at: 0, event });
        if (after + 1 < last) throw lost();
        return { run: id, outcome: 'planned', warnings: [], plan: [] };
      };
      return Object.assign(Object.create(client) as AgentClient, { run, follow, close: () => client.close() });
    };
    expect((await rdc('repo up shop', { replace: { connect } })).exitCode).toBe(exitCode);
    if (carries) expect(attempts).toBe(last + 1);
    else expect(attempts).toBeLessThan(30);
  });

  test('waiting for somebody else, Ctrl-C ends the waiting; what came free just then may have begun', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const controller = new AbortController();
    const connect = async (): Promise<AgentClient> => {
      const client = machine.connect();
      const run = (async (_operation, _input, _options, { onWaiting }) => {
        onWaiting?.(new RdcError('BUSY', '"shop" is being changed'));
        controller.abort();
        return await new Promise<never>(() => undefined);
      }) as AgentClient['run'];
      return Object.assign(Object.create(client) as AgentClient, { run, close: () => client.close() });
    };
    const { exitCode, stderr } = await rdc('repo up shop --wait', { signal: controller.signal, replace: { connect } });
    expect(exitCode).toBe(130);
    expect(stderr).toContain(
      'rdc: interrupted; the run may have begun on "m" all the same\n  hint: rdc run list -m m\n',
    );
  });

  test('one that stays away for good: how to come back', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const link = breaking(machine, 1, () => {
      throw new RdcError('UNREACHABLE', 'no route to "m"');
    });
    const { exitCode, stderr } = await rdc('repo up shop', { replace: { connect: link.connect } });
    expect(exitCode).toBe(5);
    expect(stderr).toContain('the connection to "m" was lost');
  });

  test('another failure of the way back is told at once', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const link = breaking(machine, 1, () => {
      throw new RdcError('HOST_KEY', 'the host key of "m" has changed');
    });
    expect(await rdc('repo up shop', { replace: { connect: link.connect } })).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('host key'),
    });
    expect(link.attempts()).toBe(2);
  });

  test('before the run had an id: it is asked for again, with the same key', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const keys: unknown[] = [];
    const connect = async (): Promise<AgentClient> => {
      const client = machine.connect();
      const run: AgentClient['run'] = async (operation, input, options, follower) => {
        keys.push(options.key);
        if (keys.length < 3) throw lost();
        return await client.run(operation, input, options, follower);
      };
      return Object.assign(Object.create(client) as AgentClient, { run, close: () => client.close() });
    };
    const { exitCode, stdout } = await rdc('repo up shop', { replace: { connect } });
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('127.0.11.2') });
    expect(keys).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), keys[0], keys[0]]);
    // Control: another command is another run.
    expect(await rdc('repo up shop', { replace: { connect } })).toMatchObject({ exitCode: 0 });
    expect(keys[3]).not.toBe(keys[0]);
  });
});

test('--wait says at once for whom and how to follow; control: what is free says nothing of it', async () => {
  const { rdc, done, machine } = workstation('m');
  await done('repo create shop --size 1G');
  const connect = async (): Promise<AgentClient> => {
    const client = machine.connect();
    const run: AgentClient['run'] = async (operation, input, options, follower) => {
      const hint = 'rdc run attach 0123456789ab-00000009';
      follower.onWaiting?.(new RdcError('BUSY', '"shop" is being changed since 10:02 by anna@laptop', { hint }));
      return await client.run(operation, input, options, follower);
    };
    return Object.assign(Object.create(client) as AgentClient, { run, close: () => client.close() });
  };
  const { exitCode, stderr } = await rdc('repo up shop --wait', { replace: { connect } });
  expect(exitCode).toBe(0);
  expect(stderr).toMatch(
    /^ *"shop" is being changed since 10:02 by anna@laptop; follow it: rdc run attach 0123456789ab-00000009 -m m\n.*waited until it was free/,
  );
  expect((await rdc('repo up shop --wait')).stderr).not.toMatch(/wait/);
});

describe('--detach', () => {
  test('starts the run, prints its id and leaves', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    machine.after = () => new Promise<void>(() => undefined);
    const { exitCode, stdout, stderr } = await rdc('repo up shop --detach');
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '0123456789ab-00000002\n' });
    expect(stderr).toContain('started on "m"; follow it: rdc run attach 0123456789ab-00000002 -m m\n');
    const again = await rdc('repo up shop --detach --json');
    expect(again.json()).toEqual({ machine: 'm', run: '0123456789ab-00000003', outcome: 'detached' });
  });

  test('and does not come back when its connection ends', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    let attempts = 0;
    const connect = async (): Promise<AgentClient> => {
      attempts += 1;
      const client = machine.connect();
      let end: (error: Error) => void = () => undefined;
      const ended = new Promise<never>((_, reject) => {
        end = reject;
      });
      const run = (async (_operation, _input, _options, { onStarted }) => {
        onStarted?.('0123456789ab-00000009' as RunId);
        return await ended;
      }) as AgentClient['run'];
      const close = async () => end(lost());
      return Object.assign(Object.create(client) as AgentClient, { run, close });
    };
    const pauses: number[] = [];
    const pause = async (ms: number) => void pauses.push(ms);
    expect(await rdc('repo up shop --detach', { replace: { connect, pause } })).toMatchObject({ exitCode: 0 });
    await new Promise((resolve) => setImmediate(resolve));
    expect({ attempts, pauses }).toEqual({ attempts: 1, pauses: [] });
  });

  test('what is refused before it starts is told', async () => {
    const { rdc, machine } = workstation('m');
    machine.before = (operation) => {
      if (operation === 'repo.up') throw new RdcError('BUSY', 'repository "shop" is being changed');
    };
    expect(await rdc('repo up shop --detach')).toMatchObject({ exitCode: 11 });
  });

  test('a create keeps its credential and its mark until it is repeated', async () => {
    const { rdc, done, machine } = workstation('m');
    machine.after = () => new Promise<void>(() => undefined);
    await done('repo create shop --size 1G --detach');
    machine.after = () => undefined;
    expect((await rdc('repo create shop --size 1G')).stderr).toContain('= already: repository "shop" is created');
    await done('repo mount shop');
  });

  test('not together with --dry-run', async () => {
    const { rdc } = workstation('m');
    expect(await rdc('repo up shop --detach --dry-run')).toMatchObject({ exitCode: 2 });
  });
});

describe('a second Ctrl-C', () => {
  const terminal = { stdin: true, stderr: true };

  /** A run that goes on until it is cancelled. */
  async function going() {
    const world = workstation('m');
    await world.done('repo create shop --size 1G');
    const controller = new AbortController();
    let cancelled: (() => void) | undefined;
    const ended = new Promise<void>((resolve) => {
      cancelled = resolve;
    });
    const cancels: RunId[] = [];
    const connect = async (): Promise<AgentClient> => {
      const client = world.machine.connect();
      const run = (async (_operation, _input, _options, { onStarted }) => {
        const id = '0123456789ab-00000009' as RunId;
        onStarted?.(id);
        controller.abort();
        await ended;
        return { run: id, outcome: 'cancelled', warnings: [] } satisfies RunResult;
      }) as AgentClient['run'];
      const cancel = async (id: RunId) => {
        cancels.push(id);
        cancelled?.();
      };
      return Object.assign(Object.create(client) as AgentClient, { run, cancel, close: () => client.close() });
    };
    const up = (answers: string[], secondInterrupt: boolean) =>
      world.rdc('repo up shop --no-color', {
        ...{ signal: controller.signal, terminal, answers, secondInterrupt },
        replace: { connect },
      });
    return { up, cancels };
  }

  test('cancels the run when a person says so', async () => {
    const { up, cancels } = await going();
    const { exitCode, stderr } = await up(['yes'], true);
    expect({ exitCode, cancels }).toEqual({ exitCode: 1, cancels: ['0123456789ab-00000009'] });
    expect(stderr).toContain('the run goes on on "m"; Ctrl-C again to cancel it');
    expect(stderr).toContain('the run was cancelled');
  });

  test('leaves it when a person says no, or there is none', async () => {
    for (const [answers, second] of [
      [['no'], true],
      [[], false],
    ] as const) {
      const { up, cancels } = await going();
      const { exitCode, stderr } = await up([...answers], second);
      expect({ exitCode, cancels }).toEqual({ exitCode: 130, cancels: [] });
      expect(stderr).toContain('hint: rdc run attach 0123456789ab-00000009 -m m');
    }
  });
});

test('the log of a run that goes on ends where it stands; -f goes on', async () => {
  const { rdc, done, machine } = workstation('m');
  await done('repo create shop --size 1G');
  await done('repo up shop');
  const seen: (boolean | undefined)[] = [];
  const connect = async (): Promise<AgentClient> => {
    const client = machine.connect();
    const follow: AgentClient['follow'] = async (id, after, follower, wait) => {
      seen.push(wait);
      const events: JournalEvent[] = [];
      const result = await client.follow(id, after, { onEvent: (event) => events.push(event) });
      for (const event of events) follower.onEvent?.(event);
      return wait === false ? { run: id, outcome: 'running', warnings: [] } : result;
    };
    return Object.assign(Object.create(client) as AgentClient, { follow, close: () => client.close() });
  };
  const short = await rdc('run logs 0123456789ab-00000002', { replace: { connect } });
  expect(short.stdout).toMatch(/root up \| Starting services\.\.\.\n.*repo up.*\nrunning\n$/s);
  expect(short.stderr).toContain('it goes on; follow it: rdc run attach 0123456789ab-00000002 -m m');
  const long = await rdc('run logs 0123456789ab-00000002 -f', { replace: { connect } });
  expect(long.stdout).toMatch(/done\n$/);
  expect(seen).toEqual([false, undefined]);
});

test('run logs -f over a link that drops: no line is lost or repeated', async () => {
  const { rdc, done, machine } = workstation('m');
  await done('repo create shop --size 1G');
  await done('repo up shop');
  const whole = (await rdc('run logs 0123456789ab-00000002 -f')).stdout;
  const afters: number[] = [];
  const connect = async (): Promise<AgentClient> => {
    const client = machine.connect();
    const follow: AgentClient['follow'] = async (id, after, follower) => {
      afters.push(after);
      if (afters.length > 1) return await client.follow(id, after, follower);
      const events: JournalEvent[] = [];
      await client.follow(id, after, { onEvent: (event) => events.push(event) });
      for (const event of events.slice(0, 3)) follower.onEvent?.(event);
      throw lost();
    };
    return Object.assign(Object.create(client) as AgentClient, { follow, close: () => client.close() });
  };
  const { exitCode, stdout, stderr } = await rdc('run logs 0123456789ab-00000002 -f', { replace: { connect } });
  expect(afters).toEqual([0, 3]);
  expect([exitCode, stdout]).toEqual([0, whole]);
  expect(stderr).toContain('reaching "m" again');
});

test('run cancel over a link that drops asks again: the first request may not have arrived', async () => {
  const { rdc, done, machine } = workstation('m');
  await done('repo create shop --size 1G');
  const run = '0123456789ab-00000009' as RunId;
  const cancels: RunId[] = [];
  const connect = async (): Promise<AgentClient> => {
    const client = machine.connect();
    const cancel = async (id: RunId) => {
      cancels.push(id);
      if (cancels.length === 1) throw lost();
    };
    const follow = async (): Promise<RunResult> => {
      if (cancels.length === 2) throw lost();
      return { run, outcome: 'cancelled', warnings: [] };
    };
    return Object.assign(Object.create(client) as AgentClient, { cancel, follow, close: () => client.close() });
  };
  const { exitCode, stderr } = await rdc(`run cancel ${run}`, { replace: { connect } });
  expect({ exitCode, cancels }).toEqual({ exitCode: 0, cancels: [run, run, run] });
  expect(stderr).toContain('reaching "m" again');
  expect(stderr).toContain(`run ${run} cancelled`);
});
