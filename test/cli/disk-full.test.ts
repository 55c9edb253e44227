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

describe('rdc repo rescue', () => {
  it('says what was freed, what takes the most and what to do next; again, it says that there is nothing more', async () => {
    const { done, machine } = workstation('m');
    machine.add('shop', 'k', 'mounted').usedPercent = 97;
    const { stdout, stderr } = await done('repo rescue shop');
    expect(stderr).toContain('repository "shop" has 4G more, 7G are free');
    expect(stdout).toMatch(/^70G +exports\/all\.tar$/m);
    expect(stdout).toMatch(/^20G +docker volume shop_db$/m);
    expect(stderr).toContain('rdc repo resize shop --size 1536M; then: rdc repo up shop');
    expect((await done('repo rescue shop')).stderr).toContain('= already: repository "shop" has nothing to give up');
  });

  it('opens a closed one with its credential', async () => {
    const { done, rdc, machine } = workstation('m');
    machine.add('shop', 'k', 'closed');
    expect((await rdc('repo rescue shop')).exitCode).toBe(2);
    await done('repo rescue shop --credential-stdin', { stdin: 'k\n' });
    expect(machine.repos[0]?.state).toBe('mounted');
  });

  it('ends with 13 where that was not enough', async () => {
    const { rdc, machine } = workstation('m');
    machine.add('shop', 'k', 'mounted').usedPercent = 100;
    const { exitCode, stderr } = await rdc('repo rescue shop');
    expect([exitCode, stderr]).toEqual([13, expect.stringContaining('still too full for its services')]);
    const json = await rdc('repo rescue shop --json');
    expect([json.exitCode, json.json()]).toMatchObject([13, { freedBytes: 0, lacking: 'bytes', largest: [{}, {}] }]);
  });

  it('changes nothing in a dry run', async () => {
    const { done, machine } = workstation('m');
    machine.add('shop', 'k', 'mounted').usedPercent = 100;
    await done('repo rescue shop --dry-run');
    expect(machine.repos[0]).toMatchObject({ usedPercent: 100 });
  });
});

describe('rdc repo create --preallocate', () => {
  it('is asked for, told and shown; without it nothing is said', async () => {
    const { done } = workstation('m');
    expect((await done('repo create shop --size 1G --preallocate')).stderr).toContain('(1G, preallocated, network id');
    expect((await done('repo status shop')).stdout).toMatch(/^size +1G, .* on disk, preallocated$/m);
    expect((await done('repo status shop --json')).json()).toMatchObject({ preallocated: true });
    await done('repo create other --size 1G');
    expect((await done('repo status other')).stdout).not.toContain('preallocated');
  });
});
