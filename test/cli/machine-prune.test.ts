// rdc machine prune as a person and as a script see it.
import { describe, expect, it } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';

const LOOP = { kind: 'loop device' as const, what: '/dev/loop3', because: 'nothing has it open' };
const LINK = { kind: 'link' as const, what: 'rdh2880', because: 'no repository has it' };
const terminal = { stdin: true, stderr: true };

function littered() {
  const desk = workstation('prod');
  desk.machine.leftovers = [LOOP, LINK];
  return desk;
}

describe('rdc machine prune', () => {
  it('only lists with --dry-run, with the proof of each', async () => {
    const desk = littered();
    const { stdout } = await desk.done('machine prune prod --dry-run');
    expect(stdout).toContain('+ remove loop device /dev/loop3: dead because nothing has it open\n');
    expect(desk.machine.leftovers).toHaveLength(2);
  });

  it('asks a person, and removes what was shown', async () => {
    const desk = littered();
    desk.machine.after = () => {
      // Comes between the list and the answer.
      if (desk.machine.runs.size === 1) desk.machine.leftovers.push({ ...LOOP, what: '/dev/loop4' });
    };
    const { stderr, stdout } = await desk.done('machine prune', { terminal, answers: ['yes'] });
    expect(stderr).toContain('+ remove link rdh2880');
    expect(stdout).toBe(
      'loop device /dev/loop3: dead because nothing has it open\nlink rdh2880: dead because no repository has it\n',
    );
    expect(stderr).toContain('2 things that were left over on "prod" removed');
    expect(desk.machine.leftovers.map(({ what }) => what)).toEqual(['/dev/loop4']);
  });

  it('leaves everything where the answer is no, and asks nothing where there is nothing', async () => {
    const desk = littered();
    const no = await desk.rdc('machine prune', { terminal, answers: ['no'] });
    expect([no.exitCode, desk.machine.leftovers.length]).toEqual([1, 2]);
    desk.machine.leftovers = [];
    const { stderr } = await desk.done('machine prune', { terminal });
    expect(stderr).toContain('already: nothing on "prod" is left over');
  });

  it('needs --yes where nobody can be asked', async () => {
    const desk = littered();
    const refused = await desk.rdc('machine prune prod');
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('rdc machine prune prod --yes');
    expect(desk.machine.leftovers).toHaveLength(2);
    const { json } = await desk.done('machine prune prod --yes --json');
    expect(json()).toMatchObject({ machine: 'prod', outcome: 'done', removed: [LOOP, LINK], failed: [] });
  });

  it('ends with 3 where something resists, and names it', async () => {
    const desk = littered();
    desk.machine.leftovers = [{ ...LOOP, resists: true }, LINK];
    const { exitCode, stderr } = await desk.rdc('machine prune prod --yes');
    expect(exitCode).toBe(3);
    expect(stderr).toContain('loop device /dev/loop3 (busy) failed');
  });
});
