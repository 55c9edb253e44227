// Headers and their backups, over real LUKS images: what is told of them, what is made anew, and what never is.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { examineHeaders } from '../../src/agent/doctor-headers.ts';
import type { OpenRepo } from '../../src/agent/doctor-repositories.ts';
import type { RunContext } from '../../src/agent/handlers.ts';
import { repoPaths } from '../../src/agent/layout.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { removeLabel, writeLabel } from '../../src/agent/lock-owner.ts';
import { observeHeaderBackup } from '../../src/agent/observe-header-backup.ts';
import { repairHeaderBackup } from '../../src/agent/repair-header-backup.ts';
import type { Workbench } from '../../src/agent/repo-workbench.ts';
import type { System } from '../../src/lifecycle/system.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { Guid } from '../../src/protocol/ids.ts';
import { Secret } from '../../src/protocol/secret.ts';

const GUID = '11111111-1111-4111-8111-111111111111' as Guid;
const SHOP = { name: 'shop', guid: GUID, networkId: 2816, state: 'up' } as OpenRepo;
const KEY = 'the credential';
const CHEAP = ['-q', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
const system = createLinuxSystem({});

let datastore: string;
let paths: ReturnType<typeof repoPaths>;

const cryptsetup = (args: string[], input = '') => execFileSync('cryptsetup', args, { input, stdio: 'pipe' });
const format = (key: string) =>
  cryptsetup(['luksFormat', '--type', 'luks2', ...CHEAP, '--key-file', '-', paths.image], key);
const addKey = (slot: number) => {
  const file = join(datastore, 'key of a person');
  writeFileSync(file, `of slot ${slot}`);
  cryptsetup(['luksAddKey', ...CHEAP, '--key-slot', String(slot), '--key-file', '-', paths.image, file], KEY);
};
const write = (file: string, at: number, text: string) => {
  chmodSync(file, 0o600);
  execFileSync('dd', [`of=${file}`, 'bs=1', `seek=${at}`, 'conv=notrunc', 'status=none'], { input: text });
};

beforeEach(() => {
  datastore = mkdtempSync(join(tmpdir(), 'rdc-headers-'));
  paths = repoPaths(datastore, GUID);
  for (const name of ['.state', 'repositories', 'locks']) mkdirSync(join(datastore, name));
  writeFileSync(paths.image, '');
  truncateSync(paths.image, 20 * 1024 ** 2);
  format(KEY);
  cryptsetup(['luksHeaderBackup', paths.image, '--header-backup-file', paths.headerBackup]);
});
afterEach(() => rmSync(datastore, { recursive: true }));

const DAMAGES = {
  'a key that was added since': () => addKey(3),
  'a backup that is lost': () => rmSync(paths.headerBackup),
  'a backup that was cut short': () => {
    chmodSync(paths.headerBackup, 0o600);
    truncateSync(paths.headerBackup, 5 * 1024 ** 2);
  },
  'a key slot that rots in the backup': () => write(paths.headerBackup, 0x8000 + 100, 'rot'),
  'an image that was made anew with the same credential': () => format(KEY),
  'a header that was written over': () => write(paths.image, 0, '\0'.repeat(2 * 1024 ** 2)),
};

describe('observed', () => {
  test('one that holds the header of its image', async () => {
    expect(await observeHeaderBackup(system, paths)).toBe('current');
  });

  test.each([
    ['a key that was added since', 'stale'],
    ['a key slot that rots in the backup', 'stale'],
    ['a backup that is lost', 'missing'],
    ['a backup that was cut short', 'foreign'],
    ['an image that was made anew with the same credential', 'foreign'],
    ['a header that was written over', 'no-header'],
  ] as const)('%s: %s', async (damage, state) => {
    DAMAGES[damage]();
    expect(await observeHeaderBackup(system, paths)).toBe(state);
  });
});

describe('repaired', () => {
  const told: RunEvent[] = [];
  const full: System = {
    ...system,
    run: (wanted) =>
      wanted.file === 'sync' ? Promise.reject(new Error('No space left on device')) : system.run(wanted),
  };
  const repair = async (wasOpen: boolean, { isCancelled = false, on = system } = {}) => {
    told.length = 0;
    const bench = { record: { name: 'shop' }, target: { name: 'shop', paths } } as unknown as Workbench;
    const signal = isCancelled ? AbortSignal.abort() : new AbortController().signal;
    const context = { system: on, signal, report: (event: RunEvent) => told.push(event) } as unknown as RunContext;
    await repairHeaderBackup(bench, context, new Secret(KEY), { wasOpen });
  };
  const saved = () => readFileSync(paths.headerBackup).toString('latin1');

  test('nothing is said or done about a current one', async () => {
    await repair(false);
    expect(told).toEqual([]);
  });

  test.each([
    ['a key that was added since', true],
    ['a key slot that rots in the backup', true],
    ['a backup that is lost', false],
    // Nothing is lost by it.
    ['a backup that is lost', true],
    ['a backup that was cut short', false],
    // Its data was read by this header.
    ['an image that was made anew with the same credential', false],
  ] as const)('%s, open before: %s: it is made anew, and that is told', async (damage, wasOpen) => {
    DAMAGES[damage]();
    await repair(wasOpen);
    expect(told).toMatchObject([{ kind: 'warning', message: expect.stringContaining('and was renewed') }]);
    expect(await observeHeaderBackup(system, paths)).toBe('current');
  });

  test.each([
    [
      'an image that was made anew with the same credential',
      'do not belong together',
      'rdc repo restore-header shop, then rdc repo mount shop',
    ],
    ['a header that was written over', 'is damaged', 'rdc repo restore-header shop'],
  ] as const)('%s while its volume was open: the last header of the data is kept', async (damage, found, fix) => {
    const before = saved();
    DAMAGES[damage]();
    await repair(true);
    expect(told).toMatchObject([{ message: expect.stringContaining(found), hint: expect.stringContaining(fix) }]);
    expect(saved()).toBe(before);
  });

  test('a header in which the slot of the credential is damaged does not take the place of a whole one', async () => {
    const before = saved();
    write(paths.image, 0x8000 + 100, 'rot');
    await repair(true);
    expect(told).toMatchObject([
      { message: expect.stringContaining('no more'), hint: expect.stringContaining('restore-header shop') },
    ]);
    expect(saved()).toBe(before);
  });

  test('one that cannot be written is told, and the older one is kept', async () => {
    addKey(3);
    const before = saved();
    await repair(true, { on: full });
    expect(told).toMatchObject([{ message: expect.stringContaining('was not renewed: No space left on device') }]);
    expect(existsSync(`${paths.headerBackup}.new`)).toBe(false);
    expect(saved()).toBe(before);
  });

  test('a cancelled run does not pass for one with a warning', async () => {
    addKey(3);
    await expect(repair(true, { on: full, isCancelled: true })).rejects.toThrow('No space');
  });
});

describe('told by doctor', () => {
  const examine = (state: 'up' | 'closed') =>
    examineHeaders(system, datastore, [{ ...SHOP, state }], join(datastore, 'locks'));

  test.each([
    ['a key that was added since', 'earlier state', 'rdc repo mount shop, with its credential'],
    ['a backup that is lost', 'no backup', 'rdc repo mount shop, with its credential'],
    ['a header that was written over', 'is damaged', 'rdc repo restore-header shop'],
    [
      'an image that was made anew with the same credential',
      'do not belong together',
      'rdc repo restore-header shop, then rdc repo mount shop, with its credential',
    ],
  ] as const)('%s', async (damage, found, fix) => {
    DAMAGES[damage]();
    expect(await examine('closed')).toMatchObject([{ status: 'failed', found: expect.stringContaining(found), fix }]);
  });

  test('of an open one, with what closes it first', async () => {
    DAMAGES['a header that was written over']();
    const fix = 'rdc repo down shop --unmount, then rdc repo restore-header shop';
    expect(await examine('up')).toMatchObject([{ status: 'failed', fix }]);
  });

  test('control: not of what is in order, nor of what a command is at', async () => {
    expect(await examine('closed')).toMatchObject([{ status: 'ok' }]);
    DAMAGES['a backup that is lost']();
    const locks = join(datastore, 'locks');
    await writeLabel(locks, GUID, { operation: 'credential rotate', actor: 'anna@laptop', since: 0 }, process.pid);
    expect(await examine('closed')).toMatchObject([{ status: 'ok' }]);
    await removeLabel(locks, GUID, process.pid);
    expect(await examine('closed')).toMatchObject([{ status: 'failed' }]);
  });

  test('what cannot be compared, without the rest of doctor', async () => {
    const blind = { ...system, run: () => Promise.reject(new Error('no such program: cmp')) };
    const checks = await examineHeaders(blind, datastore, [SHOP], '/nowhere');
    expect(checks).toMatchObject([{ status: 'failed', found: expect.stringContaining('no such program: cmp') }]);
  });
});
