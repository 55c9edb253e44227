// A disk that fills up, as a person and as a script see it.
import { describe, expect, it } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';

describe('how full it is', () => {
  it.each([
    [89, '89 % full', 'ok'],
    [90, '90 % (!) full', 'warning'],
    [95, '95 % (!!) full', 'critical'],
  ])('%i percent: "%s", inside and on the datastore', async (usedPercent, words, level) => {
    const { done, machine } = workstation('m');
    machine.usedPercent = usedPercent;
    machine.add('shop', 'k', 'up').usedPercent = usedPercent;
    const { stdout } = await done('repo status shop');
    expect(stdout).toMatch(/^inside +\d+G used, \d+G free of 100G; 6000000 of 6553600 inodes free; /m);
    expect(stdout.split('\n').filter((line) => line.endsWith(words))).toHaveLength(2);
    expect((await done('machine status')).stdout).toContain(words);
    expect((await done('repo list')).stdout).toContain(words.replace(' full', ''));
    expect((await done('repo status shop --json')).json()).toMatchObject({
      space: { usedPercent, level, freeInodes: 6_000_000 },
      datastore: { path: '/mnt/rediacc', usedPercent, level, totalInodes: 6_553_600 },
    });
    expect((await done('machine status --json')).json()).toMatchObject({
      datastore: { usedPercent, level },
      repositories: [{ space: { usedPercent, level } }],
    });
  });

  it('of a closed one only the datastore is known', async () => {
    const { done, machine } = workstation('m');
    machine.add('shop', 'k', 'closed');
    const { stdout } = await done('repo status shop');
    expect(stdout).toMatch(/^datastore +50G used/m);
    expect(stdout).not.toMatch(/^inside/m);
  });
});
