// Another size for a repository, over real images, LUKS headers, loop devices and ext4: cut off anywhere, the same command
// again finishes, no file is lost, and nothing half moved is mounted. Only dm-crypt is played, by a second loop device on the
// first one behind the header; it needs root.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { repoPaths } from '../../src/agent/layout.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { resizeRepo } from '../../src/agent/repo-resize.ts';
import { mountRepo } from '../../src/agent/repo-volume.ts';
import type { Command } from '../../src/lifecycle/command.ts';
import type { System } from '../../src/lifecycle/system.ts';
import type { PlanStep, RunEvent } from '../../src/protocol/events.ts';
import type { Guid } from '../../src/protocol/ids.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { spaceWith } from '../helpers/space.ts';

const GUID = '22222222-2222-4222-8222-222222222222' as Guid;
const KEY = new Secret('the credential');
const MIB = 1024 ** 2;
/** Where cryptsetup puts the data by default. */
const HEADER = 16 * MIB;

let datastore: string;
let paths: ReturnType<typeof repoPaths>;
/** The loop device that plays the open mapping, and whether the model of the kernel has it mounted. */
let mapping: string | undefined;

const sh = (file: string, ...args: string[]) => execFileSync(file, args, { stdio: 'pipe' }).toString().trim();
const attached = () =>
  sh('losetup', '--noheadings', '--output', 'NAME', '--associated', paths.image).split('\n').filter(Boolean);

beforeEach(() => {
  datastore = realpathSync(mkdtempSync(join(tmpdir(), 'rdc-resize-')));
  paths = repoPaths(datastore, GUID);
  for (const name of ['.state', 'repositories', 'repos']) mkdirSync(join(datastore, name), { recursive: true });
  const more = { networkId: 2816, linkIndex: 0, filesystem: 'ext4', state: 'ready', autostart: false, createdAt: 0 };
  writeFileSync(paths.record, JSON.stringify({ version: 1, guid: GUID, name: 'shop', ...more }));
  writeFileSync(paths.image, '', { mode: 0o600 });
  sh('truncate', `--size=${120 * MIB}`, paths.image);
  const format = ['luksFormat', '-q', '--type', 'luks2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  execFileSync('cryptsetup', [...format, '--key-file', '-', paths.image], { input: KEY.reveal(), stdio: 'pipe' });
  inside((device) => {
    sh('mkfs.ext4', '-q', '-m', '1', device);
    mounted(device, (at) => writeFileSync(join(at, 'orders'), ORDERS));
    // Made in this very second, it would count as checked in it.
    sh('tune2fs', '-T', '20260101', device);
  });
});
afterEach(() => {
  if (existsSync(paths.mountPoint)) execFileSync('umount', ['-q', paths.mountPoint], { stdio: 'ignore' });
  close();
  for (const loop of attached()) sh('losetup', '--detach', loop);
  rmSync(datastore, { recursive: true });
});

/** Near the end of a volume of 120 MiB, so that a shrink has to move some of it. */
const ORDERS = Array.from({ length: 300_000 }, (_, index) => `order ${index}\n`).join('');

function close(): void {
  if (mapping !== undefined) sh('losetup', '--detach', mapping);
  mapping = undefined;
}

function inside(work: (device: string) => void): void {
  const device = sh('losetup', '--find', '--show', `--offset=${HEADER}`, paths.image);
  try {
    work(device);
  } finally {
    sh('losetup', '--detach', device);
  }
}

function mounted(device: string, work: (at: string) => void): void {
  const at = mkdtempSync(join(tmpdir(), 'rdc-resize-at-'));
  sh('mount', device, at);
  try {
    work(at);
  } finally {
    sh('umount', at);
    rmSync(at, { recursive: true });
  }
}

/** What is in the closed image: the filesystem fits it, is whole, and has its file. */
function expectWhole(): void {
  inside((device) => {
    sh('e2fsck', '-f', '-n', device);
    mounted(device, (at) => expect(readFileSync(join(at, 'orders'), 'utf8') === ORDERS).toBe(true));
  });
}

interface World {
  /** The machine stops for good after so many changes. */
  changes?: number;
  isMounted?: boolean;
  dryRun?: boolean;
  freeBytes?: number;
}

function contextOf({ changes = Number.POSITIVE_INFINITY, ...world }: World = {}) {
  const real = createLinuxSystem({});
  const plan: PlanStep[] = [];
  const done: string[] = [];
  let left = changes;
  const acting = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (left <= 0) throw new Error('killed');
      left -= 1;
      return work(...args);
    };
  };
  const looksOnly = ({ file, args }: Command) =>
    ['systemctl', 'dumpe2fs'].includes(file) || args.includes('luksDump') || args.includes('-P');
  const change = acting(async (command: Command) => {
    done.push(command.file);
    return perform(command);
  });

  /** dm-crypt, systemd and the kernel's growing of a mounted filesystem are played; the rest is real. */
  async function perform(command: Command) {
    const { file, args } = command;
    const none = { exitCode: 0, stdout: '', stderr: '', durationMs: 0 };
    const onLoop = (words: readonly string[]) =>
      words.map((word) => (word === paths.mapperDevice ? (mapping ?? word) : word));
    if (file === 'systemctl') return none;
    if (file === 'systemd-run') {
      const [tool = '', ...words] = args.slice(args.indexOf('--') + 1);
      return real.run({ ...command, file: tool, args: onLoop(words) });
    }
    if (file === 'cryptsetup' && args[0] === 'close') {
      close();
      return none;
    }
    if (file === 'cryptsetup' && args[0] === 'resize') {
      await real.run({ ...command, args: ['open', '--test-passphrase', '--key-file', '-', paths.image] });
      return real.run({ file: 'losetup', args: ['--set-capacity', String(mapping)] });
    }
    if (file === 'cryptsetup' && args[0] === 'open' && !args.includes('--test-passphrase')) {
      const device = String(args.at(-2));
      await real.run({ ...command, args: ['open', '--test-passphrase', '--key-file', '-', device] });
      mapping = sh('losetup', '--find', '--show', `--offset=${HEADER}`, device);
      return none;
    }
    if (file === 'resize2fs' && world.isMounted && !args.includes('-P')) {
      sh('e2fsck', '-f', '-p', String(mapping));
    }
    return real.run({ ...command, args: onLoop(args) });
  }

  const system: System = {
    ...real,
    run: async (command) => (looksOnly(command) ? perform(command) : change(command)),
    writeFile: acting(real.writeFile),
    remove: acting(real.remove),
    space: async () => spaceWith(world.freeBytes ?? 1024 ** 4),
    makeDirectory: acting(real.makeDirectory),
    list: async (path) => {
      if (path === '/sys/block/dm-77/slaves') return attached().map((device) => device.slice('/dev/'.length));
      const names = await real.list(path);
      return path === '/sys/block' && mapping !== undefined ? [...(names ?? []), 'dm-77'] : names;
    },
    readFile: async (path) => {
      if (path === '/etc/rediacc/machine.json') {
        return JSON.stringify({ version: 1, datastore, registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' });
      }
      if (path === '/sys/block/dm-77/dm/name') return `${paths.mapping}\n`;
      if (path === '/sys/block/dm-77/dev') return '253:77\n';
      if (path === '/sys/block/dm-77/size') return sh('blockdev', '--getsz', String(mapping));
      if (path === '/proc/self/mountinfo' && world.isMounted) {
        return `99 1 253:77 / ${paths.mountPoint} rw - ext4 ${paths.mapperDevice} rw\n`;
      }
      return real.readFile(path);
    },
  };
  const report = (event: RunEvent) => void (event.kind === 'plan' && plan.push(...event.steps));
  const context = { system, report, dryRun: world.dryRun ?? false, run: 'x' } as unknown as RunContext;
  return { context, plan, done };
}

const resize = (size: number, world: World = {}, credential: Secret | undefined = KEY) =>
  resizeRepo({ repo: GUID, sizeBytes: size, credential }, contextOf(world).context);
const imageSize = () => statSync(paths.image).size;
const note = () => JSON.parse(readFileSync(paths.record, 'utf8')).resize as unknown;

/** As `repo mount` leaves it, except for the mount itself, which no loop device can have here while it grows. */
function open(): void {
  const loop = sh('losetup', '--find', '--show', paths.image);
  mapping = sh('losetup', '--find', '--show', `--offset=${HEADER}`, loop);
}

describe.each([
  ['larger', 200 * MIB],
  ['smaller', 64 * MIB],
])('a closed repository becomes %s', (_, size) => {
  test('with its files, closed again; once more it is already so', async () => {
    expect((await resize(size)).output).toMatchObject({ changed: true, state: 'closed', beforeBytes: 120 * MIB });
    expect([imageSize(), attached(), mapping, note()]).toEqual([size, [], undefined, undefined]);
    expectWhole();
    const again = contextOf();
    const end = await resizeRepo({ repo: GUID, sizeBytes: size, credential: undefined }, again.context);
    expect([end.output?.changed, again.done]).toEqual([false, []]);
  });

  test('cut off after each step, the same command finishes it', async () => {
    const template = `${datastore}/template`;
    sh('cp', '--sparse=always', paths.image, template);
    for (let changes = 1; ; changes += 1) {
      const first = await resize(size, { changes }).catch((error: Error) => error.message);
      if (typeof first === 'object') {
        expect(changes).toBeGreaterThan(8);
        break;
      }
      if ((note() as { offline?: boolean } | undefined)?.offline) {
        const mounting = mountRepo({ repo: GUID, credential: KEY }, contextOf().context);
        await expect(mounting).rejects.toThrow('a resize of "shop" was cut off');
      }
      expect((await resize(size)).output, `after ${changes} changes`).toMatchObject({ state: 'closed' });
      expect([imageSize(), attached(), mapping, note()]).toEqual([size, [], undefined, undefined]);
      expectWhole();
      sh('cp', '--sparse=always', template, paths.image);
    }
  }, 120_000);

  test('cut off and given up: back to what it was', async () => {
    await expect(resize(size, { changes: 8 })).rejects.toThrow('killed');
    expect(note()).toMatchObject({ sizeBytes: size });
    await resize(120 * MIB);
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
    expectWhole();
  });

  test('a dry run tells the steps and changes nothing', async () => {
    const { context, plan, done } = contextOf({ dryRun: true });
    await resizeRepo({ repo: GUID, sizeBytes: size, credential: KEY }, context);
    expect([done, imageSize(), note()]).toEqual([[], 120 * MIB, undefined]);
    expect(plan.map(({ id }) => id)).toContain('filesystem.resize');
  });
});

describe('an open repository', () => {
  test('grows; cut off after each step, the same command finishes it', async () => {
    open();
    for (let changes = 1, size = 120 * MIB; ; changes += 1) {
      size += 20 * MIB;
      const first = await resize(size, { changes, isMounted: true }).catch((error: Error) => error.message);
      const end = await resize(size, { isMounted: true });
      expect(end.output, `after ${changes} changes`).toMatchObject({ state: 'mounted', sizeBytes: size });
      const sizes = [mapping, attached()[0]].map((device) => Number(sh('blockdev', '--getsize64', String(device))));
      expect([imageSize(), ...sizes, note()]).toEqual([size, size - HEADER, size, undefined]);
      if (first !== 'killed') break;
    }
    expect((await resize(imageSize(), { isMounted: true })).output).toMatchObject({ changed: false });
    const size = Number(/Block count: +(\d+)/.exec(sh('dumpe2fs', '-h', String(mapping)))?.[1]) * 1024;
    expect(imageSize() - HEADER - size).toBeLessThan(MIB);
  }, 60_000);

  test('does not become smaller', async () => {
    open();
    const end = resize(64 * MIB, { isMounted: true });
    await expect(end).rejects.toMatchObject({ code: 'VOLUME_IN_USE', hint: 'rdc repo down shop --unmount' });
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
  });

  test('does not grow without a key, or with a wrong one, and nothing is changed', async () => {
    open();
    const without = resizeRepo({ repo: GUID, sizeBytes: 200 * MIB }, contextOf({ isMounted: true }).context);
    await expect(without).rejects.toMatchObject({ code: 'CREDENTIAL_MISSING' });
    const wrong = resize(200 * MIB, { isMounted: true }, new Secret('another'));
    await expect(wrong).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
  });
});

describe('refused', () => {
  test('smaller than its files: the least is named, and taken', async () => {
    const end = (await resize(20 * MIB).catch((error) => error)) as { code: string; hint: string };
    expect(end).toMatchObject({ code: 'INVALID_INPUT' });
    expect([imageSize(), attached(), note()]).toEqual([120 * MIB, [], undefined]);
    const least = Number(/--size (\d+)M$/.exec(end.hint)?.[1]);
    expect(least).toBeGreaterThan(20);
    await resize(least * MIB);
    expectWhole();
  });

  test('larger than the datastore could ever hold', async () => {
    const end = resize(1024 ** 4, { freeBytes: 300 * MIB });
    await expect(end).rejects.toMatchObject({ code: 'NO_SPACE', hint: expect.stringContaining('--size 256M') });
    const none = resize(1024 ** 4, { freeBytes: 65 * MIB });
    await expect(none).rejects.toMatchObject({ code: 'NO_SPACE', hint: expect.stringContaining('free some space') });
    // Smaller is possible on a full one.
    await resize(64 * MIB, { freeBytes: 0 });
    expect(imageSize()).toBe(64 * MIB);
  });

  test('a wrong credential, before anything is changed', async () => {
    await expect(resize(200 * MIB, {}, new Secret('another'))).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
    expect([imageSize(), note()]).toEqual([120 * MIB, undefined]);
  });

  test('a filesystem with faults that need a decision', async () => {
    inside((device) => sh('debugfs', '-w', '-R', 'clri <2>', device));
    await expect(resize(64 * MIB)).rejects.toMatchObject({ code: 'VOLUME_DAMAGED' });
    expect([imageSize(), attached(), note()]).toEqual([120 * MIB, [], undefined]);
  });
});
