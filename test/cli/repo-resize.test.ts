// rdc repo resize, and the choice of directories of rdc repo up, as a person and as a script see them.
import { describe, expect, it } from 'vitest';
import { exactSize, parseSize } from '../../src/protocol/size.ts';
import { workstation } from '../helpers/cli-world.ts';

function shop(state: 'up' | 'closed' = 'up') {
  const desk = workstation('prod');
  desk.machine.add('shop', 'k', state);
  return desk;
}

describe('rdc repo resize', () => {
  it('tells both sizes, and that it is so already', async () => {
    const desk = shop();
    expect((await desk.done('repo resize shop --size 20G')).stderr).toMatch(/"shop" has 20G now, before: /);
    expect((await desk.done('repo resize shop --size 20G')).stderr).toContain('= already: repository "shop" has 20G');
    expect((await desk.rdc('repo resize shop --size 30G --json')).json()).toMatchObject({
      name: 'shop',
      sizeBytes: 30 * 1024 ** 3,
      beforeBytes: 20 * 1024 ** 3,
      changed: true,
    });
  });

  it('rounds up to whole sectors of the encryption', async () => {
    const desk = shop();
    await desk.done('repo resize shop --size 500MB');
    expect(desk.machine.repos[0]?.sizeBytes).toBe(500_002_816);
  });

  it('changes nothing in a dry run', async () => {
    const desk = shop();
    const before = desk.machine.repos[0]?.sizeBytes;
    await desk.done('repo resize shop --size 20G --dry-run');
    expect(desk.machine.repos[0]?.sizeBytes).toBe(before);
  });

  it.each([
    ['--size 10', '"10" is not a size'],
    ['--size 1M', 'at least 64M'],
    ['', '--size'],
  ])('refuses "%s" before anything is reached', async (words, message) => {
    const { exitCode, stderr } = await shop().rdc(`repo resize shop ${words}`.trim());
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

it('a size in a hint is read back to the byte', () => {
  for (const bytes of [64 * 1024 ** 2, 1.5 * 1024 ** 3, 10 * 1024 ** 3, 2 * 1024 ** 4, 500_002_816])
    expect(parseSize(exactSize(bytes))).toBe(bytes);
});

describe('rdc repo up --only and --changed', () => {
  it('reach the machine as they were meant', async () => {
    const desk = shop();
    const asked: unknown[] = [];
    desk.machine.before = (operation, input) => {
      if (operation === 'repo.up') asked.push(input);
    };
    await desk.done('repo up shop --only .,backend --changed');
    await desk.done('repo up shop');
    expect(asked).toMatchObject([
      { only: ['.', 'backend'], changed: true },
      { only: undefined, changed: false },
    ]);
  });

  it('name at least one directory', async () => {
    expect((await shop().rdc('repo up shop --only ,')).exitCode).toBe(2);
  });
});
