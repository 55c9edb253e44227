// rdc repo limits as a person and as a script see it.
import { describe, expect, it } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';

function shop() {
  const desk = workstation('prod');
  desk.machine.add('shop', 'k', 'up');
  return desk;
}

describe('rdc repo limits', () => {
  it('shows what there is', async () => {
    const desk = shop();
    expect((await desk.done('repo limits shop')).stdout).toBe('memory      no limit\nprocessors  no limit\n');
    await desk.done('repo limits shop --memory 512M --cpus 1.5');
    expect((await desk.done('repo limits shop')).stdout).toBe('memory      512M\nprocessors  1.5\n');
    expect((await desk.rdc('repo limits shop --json')).json()).toMatchObject({
      name: 'shop',
      memoryBytes: 512 * 1024 ** 2,
      cpus: 1.5,
    });
    expect((await desk.done('repo status shop')).stdout).toMatch(/limits +512M of memory, 1\.5 processors/);
  });

  it('sets one without the other, and takes one away', async () => {
    const desk = shop();
    await desk.done('repo limits shop --memory 512M');
    const { stderr } = await desk.done('repo limits shop --cpus 1');
    expect(stderr).toContain('limits of repository "shop": 512M of memory, 1 processor');
    await desk.done('repo limits shop --memory none');
    expect(desk.machine.repos[0]?.limits).toEqual({ memoryBytes: null, cpus: 1 });
  });

  it('changes nothing in a dry run', async () => {
    const desk = shop();
    await desk.done('repo limits shop --memory 512M --dry-run');
    expect(desk.machine.repos[0]?.limits.memoryBytes).toBeNull();
  });

  it.each([
    ['--memory 512', '--memory: "512" is not a size'],
    ['--memory 64M', 'at least 128M'],
    ['--memory lots', '"lots"'],
    ['--cpus 0', 'at least 0.01'],
    ['--cpus 1e3', '"1e3"'],
    ['--cpus 0.125', '"0.125"'],
    ['--cpus 5000', 'no machine has so many'],
  ])('refuses %s before anything is reached', async (words, message) => {
    const desk = shop();
    desk.machine.before = () => {
      throw new Error('it was asked');
    };
    const { exitCode, stderr } = await desk.rdc(`repo limits shop ${words}`);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});
