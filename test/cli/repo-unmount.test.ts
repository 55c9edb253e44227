// rdc repo unmount and down where somebody holds the volume: named, asked about, ended.
import { describe, expect, it } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';

const terminal = { stdin: true, stderr: true };

function held(...holders: string[]) {
  const desk = workstation('prod');
  const shop = desk.machine.add('shop', 'key', 'mounted');
  desk.machine.holders = holders;
  return { desk, shop };
}

describe.each(['repo unmount shop', 'repo down shop --unmount'])('rdc %s', (line) => {
  it('names who holds the volume, and leaves it open', async () => {
    const { desk, shop } = held('bash (pid 7)');
    const { exitCode, stderr } = await desk.rdc(line);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('is still held by bash (pid 7)');
    expect(shop.state).toBe('mounted');
  });

  it('--force shows them and asks; no leaves everything, yes ends them', async () => {
    const { desk, shop } = held('bash (pid 7)');
    const no = await desk.rdc(`${line} --force`, { terminal, answers: ['no'] });
    expect([no.exitCode, shop.state, desk.machine.holders.length]).toEqual([1, 'mounted', 1]);
    const { stderr } = await desk.done(`${line} --force`, { terminal, answers: ['yes'] });
    expect(stderr).toContain('+ end bash (pid 7)');
    expect([shop.state, desk.machine.holders]).toEqual(['closed', []]);
  });

  it('--force asks nothing where nobody holds it, and without a terminal only with --yes', async () => {
    const { desk, shop } = held();
    await desk.done(`${line} --force`);
    expect(shop.state).toBe('closed');
    const other = held('bash (pid 7)');
    const refused = await other.desk.rdc(`${line} --force`);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(`rdc ${line} -m prod --force --yes`);
    await other.desk.done(`${line} --force --yes`);
    expect(other.shop.state).toBe('closed');
  });
});

it('rdc repo down --force without --unmount is a mistake', async () => {
  const { desk, shop } = held();
  const { exitCode, stderr } = await desk.rdc('repo down shop --force');
  expect(exitCode).toBe(2);
  expect(stderr).toContain('rdc repo down shop --unmount --force');
  expect(shop.state).toBe('mounted');
});
