// The machine's own key of a repository, over real LUKS headers: cut off anywhere, no slot is left whose key is lost, the
// credential opens throughout, and the same command again finishes.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { repoPaths } from '../../src/agent/layout.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { disableAutostart, enableAutostart, repairAutostart } from '../../src/agent/repo-autostart.ts';
import { openWorkbench } from '../../src/agent/repo-workbench.ts';
import type { System } from '../../src/lifecycle/system.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { Guid } from '../../src/protocol/ids.ts';
import { Secret } from '../../src/protocol/secret.ts';

const GUID = '11111111-1111-4111-8111-111111111111' as Guid;
const KEY = new Secret('the credential');

let datastore: string;
let paths: ReturnType<typeof repoPaths>;

beforeEach(() => {
  datastore = mkdtempSync(join(tmpdir(), 'rdc-autostart-'));
  paths = repoPaths(datastore, GUID);
  for (const name of ['.state', 'repositories', '.credentials/keys'])
    mkdirSync(join(datastore, name), { recursive: true });
  const more = { networkId: 2816, linkIndex: 0, filesystem: 'ext4', state: 'ready', autostart: false, createdAt: 0 };
  writeFileSync(paths.record, JSON.stringify({ version: 1, guid: GUID, name: 'shop', ...more }));
  format(KEY);
});
afterEach(() => rmSync(datastore, { recursive: true }));

const cryptsetup = (args: string[], input = '') =>
  execFileSync('cryptsetup', args, { input, stdio: ['pipe', 'pipe', 'pipe'] });
const CHEAP = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];

function format(key: Secret): void {
  writeFileSync(paths.image, '');
  truncateSync(paths.image, 32 * 1024 ** 2);
  cryptsetup(['luksFormat', '-q', '--type', 'luks2', ...CHEAP, '--key-file', '-', paths.image], key.reveal());
}

function slots(): string[] {
  const { keyslots } = JSON.parse(cryptsetup(['luksDump', '--dump-json-metadata', paths.image]).toString());
  return Object.keys(keyslots);
}

function opens(slot: number, args: string[], input = ''): boolean {
  const words = ['open', '--test-passphrase', '--key-slot', String(slot), ...args, paths.image];
  try {
    cryptsetup(words, input);
    return true;
  } catch {
    return false;
  }
}
const keyFileOpens = () => existsSync(paths.keyFile) && opens(1, ['--key-file', paths.keyFile]);
const credentialOpens = () => opens(0, ['--key-file', '-'], KEY.reveal());
const isMarked = () => JSON.parse(readFileSync(paths.record, 'utf8')).autostart as boolean;

/** Fails for good after so many changes, as if the agent had been killed. */
function contextOf(changes = Number.POSITIVE_INFINITY): RunContext {
  const real = createLinuxSystem({});
  let left = changes;
  const counted = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (left <= 0) throw new Error('killed');
      left -= 1;
      return work(...args);
    };
  };
  const machine = { version: 1, datastore, registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' };
  const system: System = {
    ...real,
    readFile: async (path) => (path === '/etc/rediacc/machine.json' ? JSON.stringify(machine) : real.readFile(path)),
    run: counted(real.run),
    writeFile: counted(real.writeFile),
    remove: counted(real.remove),
    makeDirectory: counted(real.makeDirectory),
  };
  return { system, undoing: system, report: () => undefined, dryRun: false } as unknown as RunContext;
}

const enable = (context = contextOf(), credential = KEY) => enableAutostart({ repo: GUID, credential }, context);
const disable = (context = contextOf(), credential = KEY) => disableAutostart({ repo: GUID, credential }, context);

describe('enable', () => {
  test('256 random bytes for root only, in slot 1, with a cheap derivation; again, it changes nothing', async () => {
    expect((await enable()).output).toMatchObject({ changed: true });
    expect(statSync(paths.keyFile)).toMatchObject({ size: 256, mode: 0o100600 });
    expect([keyFileOpens(), credentialOpens(), isMarked(), slots()]).toEqual([true, true, true, ['0', '1']]);
    expect(statSync(paths.headerBackup).size).toBeGreaterThan(0);
    const key = readFileSync(paths.keyFile);
    expect((await enable()).output).toMatchObject({ changed: false });
    expect(readFileSync(paths.keyFile).equals(key)).toBe(true);
  });

  test('a wrong credential changes nothing', async () => {
    await expect(enable(contextOf(), new Secret('another'))).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
    expect([existsSync(paths.keyFile), isMarked(), slots()]).toEqual([false, false, ['0']]);
  });

  test('an image that somebody has attached a second time gets no key', async () => {
    const loop = (...args: string[]) => execFileSync('losetup', args, { encoding: 'utf8' }).trim();
    const devices = [1, 2].map(() => loop('--find', '--show', paths.image));
    const [ours, theirs] = devices;
    try {
      const hint = expect.stringContaining(`losetup --detach ${theirs}`);
      await expect(enable()).rejects.toMatchObject({ code: 'VOLUME_IN_USE', hint });
      expect([existsSync(paths.keyFile), isMarked(), slots()]).toEqual([false, false, ['0']]);
    } finally {
      for (const device of devices) loop('--detach', String(device));
    }
    expect(ours).not.toBe(theirs);
  });

  test('a key of somebody else in slot 1 is refused, with what to do', async () => {
    const theirs = join(datastore, 'theirs');
    writeFileSync(theirs, 'theirs');
    cryptsetup(['luksAddKey', '-q', ...CHEAP, '--key-slot', '1', '--key-file', '-', paths.image, theirs], KEY.reveal());
    await expect(enable()).rejects.toMatchObject({
      message: expect.stringContaining('not ours'),
      hint: expect.any(String),
    });
    expect([opens(1, ['--key-file', theirs]), existsSync(paths.keyFile), isMarked()]).toEqual([true, false, false]);
  });

  test('killed after any change: the credential opens, and the same again finishes', async () => {
    let isWhole = false;
    for (let changes = 1; !isWhole; changes += 1) {
      rmSync(paths.keyFile, { force: true });
      format(KEY);
      isWhole = await enable(contextOf(changes)).then(
        () => true,
        () => false,
      );
      expect(credentialOpens()).toBe(true);
      if (slots().includes('1')) expect(keyFileOpens(), `after ${changes} changes`).toBe(true);
      await enable();
      expect([keyFileOpens(), isMarked(), slots()]).toEqual([true, true, ['0', '1']]);
      await disable();
      expect([existsSync(paths.keyFile), isMarked(), slots()]).toEqual([false, false, ['0']]);
    }
  });
});

describe('repair', () => {
  const repair = async () => {
    const context = contextOf();
    const warnings: string[] = [];
    const report = (event: RunEvent) => void (event.kind === 'warning' && warnings.push(event.message));
    const renewed = await repairAutostart(await openWorkbench(context, GUID), { ...context, report }, KEY);
    return { renewed, warnings };
  };

  test('a key of ours of an earlier state of the image is renewed', async () => {
    await enable();
    writeFileSync(paths.keyFile, 'of another state');
    expect(await repair()).toMatchObject({ renewed: true });
    expect([keyFileOpens(), slots()]).toEqual([true, ['0', '1']]);
  });

  test('a key that a person has put into slot 1 of a restored image stays, and is told; enable and disable leave it as well', async () => {
    await enable();
    format(KEY);
    const theirs = join(datastore, 'theirs');
    writeFileSync(theirs, 'theirs');
    const slow = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1001'];
    cryptsetup(['luksAddKey', '-q', ...slow, '--key-slot', '1', '--key-file', '-', paths.image, theirs], KEY.reveal());
    expect(isMarked()).toBe(true);
    expect(await repair()).toMatchObject({ renewed: false, warnings: [expect.stringContaining('not ours')] });
    await expect(enable()).rejects.toMatchObject({ message: expect.stringContaining('not ours') });
    await disable();
    expect([opens(1, ['--key-file', theirs]), isMarked()]).toEqual([true, false]);
  });
});

test('cancelled in the middle, neither slot nor file remains', async () => {
  const context = contextOf();
  const controller = new AbortController();
  const { system } = context;
  const run: System['run'] = async (wanted, sink) => {
    if (controller.signal.aborted) throw new RdcError('CANCELLED', 'the run was cancelled');
    const result = await system.run(wanted, sink);
    if (wanted.args.includes('luksAddKey')) controller.abort();
    return result;
  };
  await expect(enable({ ...context, system: { ...system, run } })).rejects.toMatchObject({ code: 'CANCELLED' });
  expect([existsSync(paths.keyFile), isMarked(), slots()]).toEqual([false, false, ['0']]);
});

test('cancelled when the header backup with the new key is in place, none is left that it opens', async () => {
  const context = contextOf();
  const { system } = context;
  let key: Buffer | undefined;
  const run: System['run'] = async (wanted, sink) => {
    if (key !== undefined) throw new RdcError('CANCELLED', 'the run was cancelled');
    const result = await system.run(wanted, sink);
    if (wanted.file === 'mv' && wanted.args.includes(paths.headerBackup)) key = readFileSync(paths.keyFile);
    return result;
  };
  await expect(enable({ ...context, system: { ...system, run } })).rejects.toMatchObject({ code: 'CANCELLED' });
  const copy = join(datastore, 'key');
  writeFileSync(copy, key ?? '');
  expect(backupOpens(copy)).toBe(false);
  expect([existsSync(paths.keyFile), isMarked(), slots()]).toEqual([false, false, ['0']]);
  // Control: with the undisturbed one it does.
  await enable();
  expect(backupOpens(paths.keyFile)).toBe(true);
});

const backupOpens = (key: string) => {
  try {
    cryptsetup(['open', '--test-passphrase', '--key-file', key, '--header', paths.headerBackup, paths.image]);
    return true;
  } catch {
    return false;
  }
};

describe('disable', () => {
  test('killed after any change: the credential opens, and the same again finishes', async () => {
    let isWhole = false;
    for (let changes = 1; !isWhole; changes += 1) {
      await enable();
      isWhole = await disable(contextOf(changes)).then(
        () => true,
        () => false,
      );
      expect(credentialOpens()).toBe(true);
      await disable();
      expect([existsSync(paths.keyFile), isMarked(), slots()]).toEqual([false, false, ['0']]);
    }
  });

  test('the header backup of before, which the key would still open, is gone', async () => {
    await enable();
    const key = readFileSync(paths.keyFile);
    const copy = join(datastore, 'key');
    writeFileSync(copy, key);
    expect(backupOpens(copy)).toBe(true);
    await disable();
    expect(backupOpens(copy)).toBe(false);
  });

  test('beside a file that opens nothing, a key of somebody else stays', async () => {
    const theirs = join(datastore, 'theirs');
    writeFileSync(theirs, 'theirs');
    cryptsetup(['luksAddKey', '-q', ...CHEAP, '--key-slot', '1', '--key-file', '-', paths.image, theirs], KEY.reveal());
    writeFileSync(paths.keyFile, 'left from a crash');
    await disable();
    expect([opens(1, ['--key-file', theirs]), existsSync(paths.keyFile)]).toEqual([true, false]);
  });

  test('a wrong credential removes nothing', async () => {
    await enable();
    await expect(disable(contextOf(), new Secret('another'))).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
    expect([keyFileOpens(), isMarked()]).toEqual([true, true]);
  });
});

test('an image that was replaced gets the key again when somebody with the credential comes', async () => {
  await enable();
  format(KEY);
  expect(keyFileOpens()).toBe(false);
  const context = contextOf();
  const bench = await openWorkbench(context, GUID);
  expect(await repairAutostart(bench, context, KEY)).toBe(true);
  expect([keyFileOpens(), slots()]).toEqual([true, ['0', '1']]);
  expect(await repairAutostart(bench, context, KEY)).toBe(false);
});
