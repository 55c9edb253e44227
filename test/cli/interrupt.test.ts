// Ctrl-C: a run goes on without us, and we say how to come back.
import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { untilInterrupted, watchInterrupts } from '../../src/cli/interrupt.ts';
import { workstation } from '../helpers/cli-world.ts';

const never = () => new Promise<void>(() => undefined);

describe('Ctrl-C', () => {
  test('while a run is followed', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const controller = new AbortController();
    machine.after = () => {
      controller.abort();
      return never();
    };
    const { stderr, exitCode } = await rdc('repo up shop', { signal: controller.signal });
    expect(exitCode).toBe(130);
    expect(stderr).toContain(
      'rdc: stopped following; the run goes on on "m"\n  hint: rdc run attach 0123456789ab-00000002 -m m\n',
    );
    machine.after = () => undefined;
    const attached = await done('run attach 0123456789ab-00000002');
    expect(attached.stderr).toContain('root up | Starting services...');
  });

  test('before anybody knows whether a run has begun', async () => {
    const { rdc, done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    const controller = new AbortController();
    machine.before = () => {
      controller.abort();
      return never();
    };
    const { stderr, exitCode } = await rdc('repo up shop', { signal: controller.signal });
    const told = 'rdc: interrupted; the run may have begun on "m" all the same\n  hint: rdc run list -m m\n';
    expect({ stderr, exitCode }).toEqual({ stderr: told, exitCode: 130 });
  });

  test('while connecting', async () => {
    const { rdc } = workstation('m');
    const controller = new AbortController();
    const connect = () => {
      controller.abort();
      return new Promise<never>(() => undefined);
    };
    expect(await rdc('repo list', { signal: controller.signal, replace: { connect } })).toMatchObject({
      exitCode: 130,
    });
  });

  test('during a question', async () => {
    const { rdc, done } = workstation('m');
    await done('repo create shop --size 1G');
    const text = () =>
      Promise.reject(Object.assign(new Error('User force closed the prompt'), { name: 'ExitPromptError' }));
    const ask = { confirm: text, text, passphrase: text, secret: text };
    const terminal = { stdin: true, stderr: true };
    expect(await rdc('repo delete shop --no-color', { replace: { ask }, terminal })).toMatchObject({
      exitCode: 130,
      stderr: expect.stringContaining('rdc: interrupted'),
    });
  });

  test('during a create keeps the credential', async () => {
    const { rdc, done, machine } = workstation('m');
    const controller = new AbortController();
    machine.after = () => {
      controller.abort();
      return never();
    };
    const { stderr } = await rdc('repo create shop --size 1G', { signal: controller.signal });
    expect(stderr).toContain('its credential is kept');
    machine.after = () => undefined;
    await done('repo create shop --size 1G');
    await done('repo mount shop');
  });
});

test('what is done anyway is not left', async () => {
  const { signal } = new AbortController();
  expect(await untilInterrupted(signal, Promise.resolve(7))).toBe(7);
  await expect(untilInterrupted(signal, Promise.reject(new Error('no')))).rejects.toThrow('no');
});

describe('signals', () => {
  function program() {
    const source = new EventEmitter();
    const exits: number[] = [];
    const interrupts = watchInterrupts(Object.assign(source, { exit: (code: number) => exits.push(code) }) as never);
    return { source, exits, interrupts };
  }

  test('the second one ends the program, unless somebody waits for it', async () => {
    const { source, exits, interrupts } = program();
    source.emit('SIGINT', 'SIGINT');
    expect(interrupts.signal.aborted).toBe(true);
    const again = interrupts.again(60_000);
    source.emit('SIGINT', 'SIGINT');
    expect({ again: await again, exits }).toEqual({ again: true, exits: [] });
    source.emit('SIGINT', 'SIGINT');
    expect(exits).toEqual([130]);
  });

  test('a second one that does not come is not waited for longer than that; none is after a hangup', async () => {
    const first = program();
    first.source.emit('SIGINT', 'SIGINT');
    expect(await first.interrupts.again(1)).toBe(false);
    const second = program();
    second.source.emit('SIGHUP', 'SIGHUP');
    expect(await second.interrupts.again(60_000)).toBe(false);
  });
});
