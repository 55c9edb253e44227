import { describe, expect, it } from 'vitest';
import { type Command, command } from '../../src/lifecycle/command.ts';
import { converge, planSteps, type Since } from '../../src/lifecycle/run-plan.ts';
import { type Action, remove, run, type Step, write } from '../../src/lifecycle/step.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { type Answer, scriptedSystem } from '../helpers/scripted-system.ts';

interface Facts {
  text: string | undefined;
}

const step: Step<Facts> = {
  id: 'file.write',
  title: 'write the file',
  already: 'the file is there',
  isDone: ({ text }) => text === 'hello',
  actions: () => [write('/f', 'hello', 0o600)],
};

function setting(steps: Step<Facts>[], answer: (command: Command) => Answer = () => ({})) {
  const system = scriptedSystem(answer);
  const events: RunEvent[] = [];
  const observe = async () => ({ text: system.files.get('/f') });
  const go = () => converge(steps, { system, report: (event) => events.push(event), observe });
  const states = () => events.flatMap((event) => (event.kind === 'step' ? [`${event.id} ${event.state}`] : []));
  return { system, events, states, go };
}

describe('converging', () => {
  it('acts once and says "already" the second time', async () => {
    const { go, states } = setting([step]);
    expect(await go()).toBe(true);
    expect(await go()).toBe(false);
    expect(states()).toEqual(['file.write start', 'file.write done', 'file.write already']);
  });

  it('does not believe a step whose effect cannot be seen', async () => {
    const { go, states } = setting([{ ...step, actions: () => [], settleMs: 500 }]);
    await expect(go()).rejects.toMatchObject({ code: 'STEP_NOT_VERIFIED' });
    expect(states().at(-1)).toBe('file.write failed');
  });

  it.each([
    ['listening\nfatal: no space left\n', 'could not write the file: fatal: no space left'],
    ['', 'could not write the file'],
  ])("tells a unit's own last words when it does not start: %j", async (journal, message) => {
    const starting: Step<Facts> = {
      ...step,
      actions: () => [run(command('systemctl', 'start', 'u'))],
      startsUnit: 'u',
    };
    const answer = ({ file }: { file: string }) => (file === 'journalctl' ? { stdout: journal } : { exitCode: 1 });
    const { go, system } = setting([starting], answer);
    await expect(go()).rejects.toMatchObject({
      code: 'FAILED',
      message,
      hint: expect.stringContaining('journalctl -u u'),
    });
    expect(system.commands.at(-1)?.args).toContain('_SYSTEMD_UNIT=u');
  });

  it('undoes what a failed step began, and gives its explained error', async () => {
    const failing: Step<Facts> = {
      ...step,
      actions: () => [write('/f', 'half', 0o600), run(command('false'))],
      undo: () => [remove('/f')],
      explain: () => new Error('explained'),
    };
    const { go, system } = setting([failing], () => ({ exitCode: 1 }));
    await expect(go()).rejects.toThrow('explained');
    expect(system.files.has('/f')).toBe(false);
  });

  it('asks the guard before anything else', async () => {
    const guarded: Step<Facts> = {
      ...step,
      guard: () => {
        throw new Error('no');
      },
    };
    const { go, system } = setting([guarded]);
    await expect(go()).rejects.toThrow('no');
    expect(system.files.size).toBe(0);
  });
});

it('systemd is asked anew for what a step can have changed', async () => {
  const does = (actions: Action[], changesUnitFiles = false): Step<Facts> => {
    let looks = 0;
    const isDone = () => {
      looks += 1;
      return looks > 1;
    };
    return { ...step, isDone, actions: () => actions, changesUnitFiles };
  };
  const looks: (Since<Facts> | undefined)[] = [];
  const observe = async (since?: Since<Facts>) => {
    looks.push(since);
    return { text: undefined };
  };
  const steps = [
    does([run(command('losetup', '/f'))]),
    does([run(command('losetup', '/f')), run(command('systemctl', 'start', 'a'))]),
    does([write('/f', '', 0o600)], true),
  ];
  await converge(steps, { system: scriptedSystem(() => ({})), report: () => undefined, observe });
  expect(looks.map((since) => since && [since.unitFiles, since.unitStates])).toEqual([
    undefined,
    [false, false],
    [false, true],
    [true, true],
  ]);
});

it('a plan tells what would be done and does nothing', () => {
  expect(planSteps([step], { text: undefined })).toEqual([
    { id: 'file.write', title: 'write the file', expect: 'change', actions: ['write /f (mode 0600)'] },
  ]);
  expect(planSteps([step], { text: 'hello' })).toEqual([
    { id: 'file.write', title: 'write the file', expect: 'already', already: 'the file is there' },
  ]);
});
