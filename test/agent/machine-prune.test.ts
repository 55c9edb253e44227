// What is left over, found and removed beside a repository that is up, on a model machine with the real locks.
import { beforeEach, describe, expect, test } from 'vitest';
import { examineLeftovers } from '../../src/agent/doctor-leftovers.ts';
import { findLeftovers } from '../../src/agent/find-leftovers.ts';
import { repoPaths } from '../../src/agent/layout.ts';
import { acquireLock } from '../../src/agent/lock.ts';
import { pruneMachine } from '../../src/agent/machine-prune.ts';
import { presenceKey } from '../../src/agent/run-subjects.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { RunId } from '../../src/protocol/ids.ts';
import { CLOSED, DATASTORE, HALF_MADE, LeftoverMachine, OPEN, UNKNOWN } from '../helpers/leftover-machine.ts';
import { temporaryDirectory } from './harness.ts';

const RUN = '0123456789ab-00000001' as RunId;
const at = (guid: typeof OPEN) => repoPaths(DATASTORE, guid);
let lockDir: string;

beforeEach(async () => {
  lockDir = await temporaryDirectory();
});

/** A repository that is up, and a second one beside it that is closed. */
function inOrder(): LeftoverMachine {
  const machine = new LeftoverMachine().open(OPEN, { name: 'shop', networkId: 2816 });
  return machine.record(CLOSED, { name: 'blog', networkId: 2880 }).image(CLOSED);
}

async function prune(system: LeftoverMachine, { only, dryRun = false }: { only?: string[]; dryRun?: boolean } = {}) {
  const events: RunEvent[] = [];
  const { signal } = new AbortController();
  const context = {
    system,
    run: RUN,
    actor: 'anna@laptop',
    dryRun,
    signal,
    report: (event: RunEvent) => void events.push(event),
    undoing: system,
  };
  const finished = await pruneMachine({ only }, context, { lockDir });
  const plan = events.flatMap((event) => (event.kind === 'plan' ? event.steps : []));
  const warnings = events.flatMap((event) => (event.kind === 'warning' ? [event.message] : []));
  return { ...finished, plan, warnings };
}

/** "kind what" of what would be removed, and of what is only told. */
async function found(system: LeftoverMachine) {
  const all = await findLeftovers(system, DATASTORE, lockDir);
  const names = (isDead: boolean) =>
    all.filter(({ removal }) => (removal !== undefined) === isDead).map(({ kind, what }) => `${kind} ${what}`);
  return { dead: names(true), left: names(false) };
}

const hold = (key: string) =>
  acquireLock({ directory: lockDir, key, subject: '"blog"', owner: { operation: 'repo up', actor: 'ben' }, waitMs: 0 });

/** One of each kind, and what they are called. */
function littered(): { machine: LeftoverMachine; dead: string[] } {
  const machine = inOrder();
  const closed = machine.loop(CLOSED);
  machine.map(CLOSED, closed);
  machine.file(`/run/systemd/system/rediacc-net@${CLOSED}.service.d/10-rediacc.conf`);
  machine
    .file(at(CLOSED).keyFile, 'key')
    .file(`${at(CLOSED).keyFile}.new`)
    .file(`${at(CLOSED).record}.0123456789ab.tmp`);
  machine.file('/run/rediacc/2880/daemon.json').file('/run/rediacc/docker-2880.sock');
  machine.record(HALF_MADE, { name: 'new', networkId: 2944, state: 'creating' }).image(HALF_MADE);
  const half = machine.loop(HALF_MADE);
  machine.file(at(HALF_MADE).headerBackup).mount(HALF_MADE, machine.map(HALF_MADE, half));
  const second = machine.loop(CLOSED);
  machine.units.set(`rediacc-docker@${UNKNOWN}.service`, 'failed').set(`rediacc-net@${UNKNOWN}.service`, 'active');
  machine.file(`/run/rediacc/needs-down/${UNKNOWN}`).directory(at(UNKNOWN).mountPoint);
  machine
    .directory('/sys/class/net/rdh6336')
    .file('/run/netns/rd6336')
    .directory('/run/systemd/system/rediacc-6336.slice.d');
  machine.file('/etc/rediacc/machine.json.0123456789ab.tmp');
  const dead = [
    `mapping rediacc-${CLOSED}`,
    `loop device /dev/${second}`,
    `drop-in /run/systemd/system/rediacc-net@${CLOSED}.service.d`,
    `key file ${at(CLOSED).keyFile}`,
    `temporary file ${at(CLOSED).record}.0123456789ab.tmp`,
    `temporary file ${at(CLOSED).keyFile}.new`,
    `mount ${at(HALF_MADE).mountPoint}`,
    `mapping rediacc-${HALF_MADE}`,
    `image ${at(HALF_MADE).image}`,
    `header backup ${at(HALF_MADE).headerBackup}`,
    `mount point ${at(HALF_MADE).mountPoint}`,
    `record ${at(HALF_MADE).record}`,
    `unit rediacc-docker@${UNKNOWN}.service`,
    `unit rediacc-net@${UNKNOWN}.service`,
    `mount point ${at(UNKNOWN).mountPoint}`,
    `runtime file /run/rediacc/needs-down/${UNKNOWN}`,
    'runtime file /run/rediacc/docker-2880.sock',
    'runtime file /run/rediacc/2880',
    'link rdh6336',
    'namespace rd6336',
    'drop-in /run/systemd/system/rediacc-6336.slice.d',
    'temporary file /etc/rediacc/machine.json.0123456789ab.tmp',
  ];
  return { machine, dead };
}

describe('a machine in order', () => {
  test('has nothing left over, whatever its open and closed repositories have', async () => {
    expect(await found(inOrder())).toEqual({ dead: [], left: [] });
    expect(await examineLeftovers(inOrder(), DATASTORE, lockDir)).toMatchObject([{ status: 'ok', found: 'none' }]);
    expect(await prune(inOrder())).toMatchObject({ outcome: 'done', output: { changed: false, removed: [] } });
  });
});

test('a mapping that was never given a table is found and removed, of a closed one and of none that is known', async () => {
  const machine = inOrder();
  const names = [`rediacc-${CLOSED}`, `rediacc-${UNKNOWN}`];
  for (const name of names) machine.tableless.add(name);
  machine.tableless.add('vg-root');
  expect((await found(machine)).dead).toEqual(names.map((name) => `mapping ${name}`));
  expect(await prune(machine)).toMatchObject({ outcome: 'done', output: { changed: true } });
  expect([...machine.tableless]).toEqual(['vg-root']);
});

test.each([true, false])(
  'no device-mapper, and no dmsetup, keep nobody from looking; dmsetup is there: %s',
  async (isThere) => {
    const machine = inOrder();
    machine.program('dmsetup', () => {
      if (isThere) return { exitCode: 1, stderr: '/dev/mapper/control: open failed' };
      throw new RdcError('TOOL_MISSING', 'the program "dmsetup" is not on this machine');
    });
    expect(await examineLeftovers(machine, DATASTORE, lockDir)).toMatchObject([{ status: 'ok', found: 'none' }]);
  },
);

describe('one of each kind', () => {
  test('is found with its proof, and a dry run changes nothing', async () => {
    const { machine, dead } = littered();
    const before = machine.state();
    expect(await found(machine)).toEqual({ dead, left: [] });
    const { outcome, plan } = await prune(machine, { dryRun: true });
    expect(outcome).toBe('planned');
    expect(plan.map(({ id }) => id)).toEqual(dead);
    expect(plan.every(({ title }) => /^remove .+: dead because .+/.test(title))).toBe(true);
    const checks = await examineLeftovers(machine, DATASTORE, lockDir);
    expect(checks).toHaveLength(dead.length);
    expect(checks[0]).toMatchObject({ status: 'failed', fix: 'rdc machine prune MACHINE --dry-run' });
    expect(machine.state()).toEqual(before);
  });

  test('is removed, and nothing else: the machine is then as if it had never been there', async () => {
    const { machine, dead } = littered();
    const { outcome, output } = await prune(machine);
    expect(output?.failed).toEqual([]);
    expect(outcome).toBe('done');
    // One repository after the other, each with its lock.
    expect(output?.removed.map(({ kind, what }) => `${kind} ${what}`).sort()).toEqual(dead.sort());
    expect(await found(machine)).toEqual({ dead: [], left: [] });
    const clean = inOrder();
    // Directories that every such machine has.
    clean.directory('/run/netns');
    expect(machine.state().filter((line) => !line.includes('/proc/self/mountinfo'))).toEqual(
      clean.state().filter((line) => !line.includes('/proc/self/mountinfo')),
    );
  });

  test('of which only some were agreed to: those', async () => {
    const { machine } = littered();
    const { output } = await prune(machine, { only: ['link rdh6336'] });
    expect(output?.removed).toMatchObject([{ kind: 'link', what: 'rdh6336' }]);
    expect((await found(machine)).dead).not.toContain('link rdh6336');
    expect((await found(machine)).dead).toContain('namespace rd6336');
  });
});

describe('what a command is working on', () => {
  test.each([
    ['its run', CLOSED],
    ['a transfer', presenceKey(CLOSED)],
  ])('is not left over while %s has the lock', async (_who, key) => {
    const machine = inOrder();
    machine.map(CLOSED, machine.loop(CLOSED));
    const lock = await hold(key);
    expect(await found(machine)).toEqual({ dead: [], left: [] });
    expect((await prune(machine)).output).toMatchObject({ removed: [], failed: [] });
    await lock.release();
    // Control: without the lock it is.
    expect((await prune(machine)).output?.removed).toHaveLength(1);
  });

  test('is not taken when it begins after the look', async () => {
    const machine = inOrder();
    machine.map(CLOSED, machine.loop(CLOSED));
    // The lock without its label, as in the moment after it was taken.
    const lock = await hold(CLOSED);
    const { lockOwners } = await import('../../src/agent/lock-owner.ts');
    const { readdir, rm } = await import('node:fs/promises');
    for (const name of await readdir(lockDir)) if (name.endsWith('.json')) await rm(`${lockDir}/${name}`);
    expect(await lockOwners(lockDir, CLOSED)).toEqual([]);
    expect((await found(machine)).dead).toHaveLength(1);
    expect((await prune(machine)).output).toMatchObject({ removed: [], failed: [], changed: false });
    expect((await found(machine)).dead).toHaveLength(1);
    await lock.release();
  });
});

describe('what is not proven to be dead is told and left', () => {
  async function left(machine: LeftoverMachine, dead: string[] = []) {
    const before = await found(machine);
    expect(before.dead).toEqual(dead);
    const { output, warnings } = await prune(machine);
    expect(output?.left.map(({ kind, what }) => `${kind} ${what}`)).toEqual(before.left);
    expect(warnings).toHaveLength(before.left.length);
    expect((await found(machine)).left).toEqual(before.left);
    return output?.left ?? [];
  }

  test('a record whose image is gone', async () => {
    const machine = inOrder();
    machine.nodes.delete(at(CLOSED).image);
    expect(await left(machine)).toMatchObject([
      { kind: 'record', repo: 'blog', fix: expect.stringContaining('rdc repo delete blog') },
    ]);
  });

  test('an image without a record, with the key and the header that may be all that opens it', async () => {
    const machine = inOrder().image(UNKNOWN).file(at(UNKNOWN).keyFile).file(at(UNKNOWN).headerBackup);
    expect(await left(machine)).toMatchObject([{ kind: 'image', fix: expect.stringContaining('put back') }]);
  });

  test('a key and a header without an image, which an image elsewhere may need', async () => {
    const machine = inOrder().file(at(UNKNOWN).keyFile).file(at(UNKNOWN).headerBackup);
    expect(await left(machine)).toMatchObject([{ kind: 'key file' }, { kind: 'header backup' }]);
  });

  test('a volume that is open without a record', async () => {
    const machine = inOrder().image(UNKNOWN);
    machine.mount(UNKNOWN, machine.map(UNKNOWN, machine.loop(UNKNOWN)));
    expect(await left(machine)).toMatchObject([{ kind: 'mount', fix: expect.stringContaining('put back') }]);
    machine.units.set(`rediacc-volume@${UNKNOWN}.service`, 'active');
    expect(await left(machine)).toMatchObject([{ kind: 'unit', what: `rediacc-volume@${UNKNOWN}.service` }]);
  });

  test('a daemon without a record, and everything around it', async () => {
    const machine = inOrder().open(UNKNOWN, { name: 'lost', networkId: 6336 });
    machine.nodes.delete(at(UNKNOWN).record);
    machine.inside.set('rd6336', [7]);
    expect(await left(machine)).toMatchObject([
      { kind: 'unit', what: `rediacc-volume@${UNKNOWN}.service` },
      { kind: 'namespace', what: 'rd6336' },
    ]);
  });

  test.each([
    ['known', CLOSED, []],
    ['unknown', UNKNOWN, []],
  ])('the last copy of a deleted image that is open, of a repository that is %s', async (_what, guid, dead) => {
    const machine = inOrder();
    machine.nodes.delete(at(guid).image);
    machine.mount(guid, machine.map(guid, machine.loop(guid, true)));
    const told = await left(machine, [...dead]);
    expect(told).toMatchObject([{ kind: 'mount', because: expect.stringContaining('the last copy') }]);
  });

  test.each([
    ['there', CLOSED],
    ['deleted, too', UNKNOWN],
  ])('the last copy of a deleted image that is attached, while its record is %s', async (_what, guid) => {
    const machine = inOrder();
    machine.nodes.delete(at(guid).image);
    machine.loop(guid, true);
    expect(await left(machine)).toMatchObject([
      { kind: 'loop device', fix: expect.stringMatching(/^put the image back: cp --sparse=always \/dev\/loop/) },
    ]);
  });

  test('a device that somebody has open', async () => {
    const machine = inOrder();
    const loop = machine.loop(CLOSED);
    machine.openers = [`/proc/7/fd/3 /dev/${loop}`];
    machine.file('/proc/7/comm', 'dd\n');
    expect(await left(machine)).toMatchObject([{ what: `/dev/${loop}`, because: 'in use by dd (pid 7)' }]);
  });

  test('a mapping that is mounted elsewhere, also in a view of its own', async () => {
    const machine = inOrder();
    const line = `70 25 ${machine.map(CLOSED, machine.loop(CLOSED))} / /mnt/mine rw - ext4 /dev/mapper/mine rw\n`;
    machine.file('/proc/self/mountinfo', line);
    expect(await left(machine)).toMatchObject([{ because: 'in use by a mount at /mnt/mine' }]);
    machine.file('/proc/self/mountinfo').file('/proc/7/mountinfo', line).file('/proc/7/comm', 'bash\n');
    machine.file('/proc/7/stat', '7 (bash) S 1 7 7 0 -1 4194560 100 0 0 0 1 1 0 0 20 0 1 0 4242 1000 10');
    machine.file('/proc/7/cgroup', '0::/user.slice/session-3.scope\n');
    expect(await left(machine)).toMatchObject([
      { because: 'in use by bash (pid 7, session-3.scope, mount namespace of its own)' },
    ]);
  });

  test("somebody else's mapping of an image of ours, and our name on what is not", async () => {
    const machine = inOrder();
    machine.map(CLOSED, machine.loop(CLOSED), 'mine');
    machine.map(UNKNOWN, 'sdb');
    expect(await left(machine)).toMatchObject([
      { what: 'mine', because: expect.stringContaining('somebody else') },
      { what: `rediacc-${UNKNOWN}`, because: expect.stringContaining('does not lie on an image') },
    ]);
  });

  test('a half-made repository that somebody has opened under another name: also its image', async () => {
    const machine = inOrder().record(HALF_MADE, { name: 'new', networkId: 2944, state: 'creating' }).image(HALF_MADE);
    machine.map(HALF_MADE, machine.loop(HALF_MADE), 'mine');
    expect(await left(machine)).toMatchObject([{ what: 'mine' }]);
  });

  test('a key file whose slot is used, or whose image has no header that can be read', async () => {
    const machine = inOrder().file(at(CLOSED).keyFile);
    machine.keySlots = { '0': {}, '1': {} };
    expect(await left(machine)).toMatchObject([{ kind: 'key file', because: expect.stringContaining('slot') }]);
    machine.program('cryptsetup', () => ({ exitCode: 1 }));
    expect(await left(machine)).toMatchObject([{ kind: 'key file', because: expect.stringContaining('header') }]);
    // Control: one that belongs to an autostart is nobody's business.
    machine.record(CLOSED, { name: 'blog', networkId: 2880, autostart: true });
    expect(await left(machine)).toEqual([]);
  });

  test('a mount point in which files are, and a namespace in which processes are', async () => {
    const machine = inOrder()
      .file(`${at(UNKNOWN).mountPoint}/file`)
      .file('/run/netns/rd6336');
    machine.inside.set('rd6336', [7]);
    machine.file('/proc/7/comm', 'postgres\n');
    expect(await left(machine)).toMatchObject([
      { kind: 'mount point' },
      { kind: 'namespace', because: 'processes are in it: postgres (pid 7)' },
    ]);
  });
});

describe('what cannot be removed', () => {
  test('ends partial with its reason, and what stands on it is not tried', async () => {
    const { machine } = littered();
    machine.broken.add(`umount -- ${at(HALF_MADE).mountPoint}`);
    const { outcome, output } = await prune(machine);
    expect(outcome).toBe('partial');
    expect(output?.failed[0]).toMatchObject({ where: `mount ${at(HALF_MADE).mountPoint} of "new"` });
    expect(output?.failed.slice(1).map(({ reason }) => reason)).toEqual(
      Array.from({ length: 5 }, () => expect.stringMatching(/^not tried: mount .* is still there$/)),
    );
    expect(await machine.stat(at(HALF_MADE).image)).toBeDefined();
    // Control: what belongs to others was removed.
    expect(output?.removed.map(({ what }) => what)).toContain('rdh6336');
  });

  test('of one network id is no reason to leave another', async () => {
    const { machine } = littered();
    machine.directory('/sys/class/net/rdh6400').file('/run/netns/rd6400');
    machine.broken.add('ip link del rdh6336');
    const { output } = await prune(machine);
    expect(output?.failed.map(({ where }) => where)).toEqual(
      expect.arrayContaining(['link rdh6336', 'namespace rd6336']),
    );
    expect(output?.removed.map(({ what }) => what)).toEqual(expect.arrayContaining(['rdh6400', 'rd6400']));
  });

  test('with a damaged record nothing is judged at all', async () => {
    const { machine } = littered();
    machine.file(at(CLOSED).record, '{"version": 1, "na');
    const before = machine.state();
    await expect(prune(machine)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect(machine.state()).toEqual(before);
  });
});
