// What a machine did by itself, as its people see it.
import { expect, test } from 'vitest';
import { RdcError } from '../../src/protocol/errors.ts';
import type { SupervisionEvent } from '../../src/protocol/supervision.ts';
import { workstation } from '../helpers/cli-world.ts';
import type { FakeMachine } from '../helpers/fake-agent.ts';

const REASON = 'container "shop-api-1" is unhealthy after 5 restarts';
const event = (at: number, message: string): SupervisionEvent => ({ at, kind: 'guard-restored', message });

test('what needs attention is in list, status and machine status, with its reason and the way out', async () => {
  const { done, machine } = workstation('m');
  await done('repo create shop --size 1G');
  const clean = (await done('repo list')).stdout + (await done('repo status shop')).stdout;
  expect(clean).not.toContain('attention');
  machine.find('shop').attention = { since: 1_700_000_000_000, reason: REASON };
  machine.supervision.attention = { since: 0, reason: 'the guard is taken away again and again' };
  expect((await done('repo list')).stdout).toContain('needs attention');
  expect((await done('repo status shop')).stdout).toMatch(new RegExp(`needs attention +${REASON}.*rdc repo up shop`));
  expect((await done('machine status')).stdout).toMatch(/needs attention +the guard is taken away/);
  expect((await done('machine status --json')).json()).toMatchObject({
    repositories: [{ name: 'shop', attention: { reason: REASON } }],
  });
});

test('machine status tells the last ten deeds, oldest first; --json all', async () => {
  const { done, machine } = workstation('m');
  machine.supervision.events = Array.from({ length: 12 }, (_, index) => event(12 - index, `deed ${12 - index}`));
  const { stdout } = await done('machine status');
  expect(stdout.match(/deed \d+/g)).toEqual(Array.from({ length: 10 }, (_, index) => `deed ${index + 3}`));
  const { supervision } = (await done('machine status --json')).json() as { supervision: { events: unknown[] } };
  expect(supervision.events).toHaveLength(12);
});

test('the settings are shown, set one by one, and taken back', async () => {
  const { done, rdc, machine } = workstation('m');
  expect((await done('machine supervision')).stdout).toMatch(/supervision +on\n.*notify command +none/s);
  await done(['machine', 'supervision', '--notify-command', 'cat >> /root/events', '--restarts', '2']);
  await done('machine supervision --off');
  expect(machine.supervision).toMatchObject({ enabled: false, notifyCommand: 'cat >> /root/events', restarts: 2 });
  expect((await done('machine status')).stdout).toMatch(/supervision +off/);
  expect((await done('machine supervision --off')).stderr).toContain('already');
  await done('machine supervision --on --notify-command none');
  expect((await done('machine supervision --json')).json()).toEqual({
    machine: 'm',
    enabled: true,
    notifyCommand: null,
    restarts: 2,
  });
  for (const wrong of ['--on --off', '--restarts many', '--restarts 101', '--restarts -1']) {
    expect((await rdc(`machine supervision ${wrong}`)).exitCode, wrong).toBe(2);
  }
  expect((await rdc(['machine', 'supervision', '--notify-command', 'a\nb'])).exitCode).toBe(2);
});

test('--all-machines: each is told, by name where it could not; a machine that is set up later gets the same', async () => {
  const { rdc, done, machines } = workstation('m', 'n', 'later');
  const { m, n, later } = machines as Record<'m' | 'n' | 'later', FakeMachine>;
  const words = ['machine', 'supervision', '--all-machines', '--notify-command', 'cat >> /root/events'];
  await done([...words, '--dry-run']);
  expect([m, later].map(({ supervision }) => supervision.notifyCommand)).toEqual([null, null]);
  expect((await done('context show')).stdout).not.toContain('/root/events');

  n.before = (operation) => {
    if (operation === 'machine.set-supervision') throw new RdcError('FAILED', 'the disk of "n" is full');
  };
  const partial = await rdc([...words, '--json']);
  expect(partial.exitCode).toBe(3);
  expect(partial.json()).toMatchObject({
    machines: [
      { machine: 'm', result: 'done' },
      { machine: 'n', result: 'failed', reason: 'the disk of "n" is full' },
      { machine: 'later', result: 'done' },
    ],
  });
  expect(m.supervision.notifyCommand).toBe('cat >> /root/events');
  expect((await done('context show')).stdout).toMatch(/notify command +cat >> \/root\/events/);

  later.supervision = { ...later.supervision, notifyCommand: null };
  await done('context setup-machine later');
  expect(later.supervision.notifyCommand).toBe('cat >> /root/events');
  later.supervision = { ...later.supervision, notifyCommand: 'its own' };
  await done('context setup-machine later');
  expect(later.supervision.notifyCommand).toBe('its own');

  n.before = () => undefined;
  await done('machine supervision --all-machines --notify-command none');
  expect(Object.values(machines).map(({ supervision }) => supervision.notifyCommand)).toEqual([null, null, null]);
  expect((await done('context show')).stdout).not.toContain('/root/events');
  for (const wrong of ['m --all-machines --off', '--all-machines']) {
    expect((await rdc(`machine supervision ${wrong}`)).exitCode, wrong).toBe(2);
  }
});
