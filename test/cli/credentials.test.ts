// Who has which key when, whatever goes wrong in between.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RdcError } from '../../src/protocol/errors.ts';
import { type Workstation, workstation } from '../helpers/cli-world.ts';

const TERMINAL = { stdin: true, stdout: true, stderr: true };
const PHRASE = 'correct horse battery';

interface Stored {
  value: string;
  kdf: string;
  next?: { value: string };
}

function stored({ configDir }: Workstation): Record<string, Stored> {
  const path = join(configDir, 'credentials.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).credentials : {};
}

const only = (world: Workstation): Stored | undefined => Object.values(stored(world))[0];
const records = ({ configDir }: Workstation): Record<string, { name: string; creating?: true }> =>
  JSON.parse(readFileSync(join(configDir, 'config.json'), 'utf8')).contexts.production.repositories;

describe('create', () => {
  test('of a size that is rounded up to whole sectors of the encryption', async () => {
    const world = workstation('prod');
    await world.done('repo create shop --size 500MB');
    expect(world.machine.repos[0]?.sizeBytes).toBe(500_002_816);
  });

  test('shows a generated credential once, on a terminal only', async () => {
    const world = workstation('m');
    const shown = await world.done('repo create shop --size 1G', { terminal: TERMINAL });
    const key = world.machine.repos[0]?.keys[0] ?? '';
    expect(shown.stdout).toContain(key);
    expect(shown.stderr).not.toContain(key);
    expect(only(world)).toEqual({ value: key, kdf: 'random' });
    expect(records(world)).toEqual({ [world.machine.repos[0]?.guid ?? '']: { name: 'shop', machine: 'm' } });
  });

  test.each([
    ['', { stdout: false, stderr: true, stdin: true }],
    [' --json', TERMINAL],
    [' -q', TERMINAL],
  ])('not with "%s"', async (flags, terminal) => {
    const world = workstation('m');
    const { stdout, stderr } = await world.done(`repo create shop --size 1G${flags}`, { terminal });
    expect(stdout + stderr).not.toContain(world.machine.repos[0]?.keys[0]);
  });

  test('it is saved before the machine is asked', async () => {
    const world = workstation('m');
    let before: Stored | undefined;
    world.machine.before = (operation) => {
      if (operation === 'repo.create') before = only(world);
    };
    await world.done('repo create shop --size 1G');
    expect(before?.value).toBe(world.machine.repos[0]?.keys[0]);
  });

  test('a name that exists: exit 2, and nothing stays behind', async () => {
    const world = workstation('m');
    world.machine.add('shop', PHRASE);
    const result = await world.rdc('repo create shop --size 1G');
    expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('there is a repository "shop"') });
    expect(stored(world)).toEqual({});
    expect(records(world)).toEqual({});
  });

  test('a machine out of reach: nothing stays behind', async () => {
    const world = workstation('m');
    delete world.machines.m;
    expect(await world.rdc('repo create shop --size 1G')).toMatchObject({ exitCode: 5 });
    expect(stored(world)).toEqual({});
  });

  test.each([
    ['NO_SPACE', 13],
    ['CANCELLED', 1],
    ['ALREADY_EXISTS', 2],
  ] as const)(
    'cut off, in use since, and repeated while the machine does not see its datastore (%s)',
    async (code, exitCode) => {
      const world = workstation('m');
      world.machine.after = world.machine.cutOff;
      await world.rdc('repo create shop --size 1G');
      world.machine.back();
      await world.done('repo mount shop');
      const [shop] = world.machine.repos.splice(0);
      world.machine.before = (operation) => {
        if (operation === 'repo.create') throw new RdcError(code, 'refused');
      };
      expect(await world.rdc('repo create shop --size 1G')).toMatchObject({ exitCode });
      expect(only(world)?.value).toBe(shop?.keys[0]);
    },
  );

  test.each([
    ['CANCELLED', 'is cancelled'],
    ['RUN_INTERRUPTED', 'ends with its agent'],
  ] as const)('a create whose run (%s) %s may leave an image: its key is kept', async (code, _how) => {
    const world = workstation('m');
    world.machine.before = (operation) => {
      if (operation === 'repo.create') throw new RdcError(code, 'the run did not come to its end');
    };
    expect(await world.rdc('repo create shop --size 1G')).toMatchObject({ exitCode: 1 });
    expect(only(world)).toBeDefined();
  });

  test('a connection lost on the way: the key is kept, and the same command finishes with it', async () => {
    const world = workstation('m');
    world.machine.after = world.machine.cutOff;
    const lost = await world.rdc('repo create shop --size 1G');
    expect(lost).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('its credential is kept') });
    const key = only(world)?.value;
    expect(Object.values(records(world))).toEqual([{ name: 'shop', machine: 'm', creating: true }]);
    world.machine.back();
    await world.done('repo create shop --size 1G');
    expect(world.machine.repos.map((repo) => repo.keys)).toEqual([[key]]);
    expect(Object.values(records(world))).toEqual([{ name: 'shop', machine: 'm' }]);
    expect(only(world)?.value).toBe(key);
    await world.done('repo mount shop');
  });

  test('a create that was cut off keeps its key also while it still runs there', async () => {
    const world = workstation('m');
    world.machine.before = (operation) => {
      if (operation === 'repo.create') throw new RdcError('CONNECTION_LOST', 'lost');
    };
    await world.rdc('repo create shop --size 1G');
    const key = only(world)?.value;
    world.machine.before = (operation) => {
      if (operation === 'repo.create') throw new RdcError('BUSY', '"shop" is being changed');
    };
    expect(await world.rdc('repo create shop --size 1G')).toMatchObject({ exitCode: 11 });
    expect(only(world)?.value).toBe(key);
  });

  test('--prompt-passphrase asks twice', async () => {
    const world = workstation('m');
    const create = 'repo create shop --size 1G --prompt-passphrase';
    expect(await world.rdc(create)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('needs a terminal') });
    const ask = (...answers: string[]) => world.rdc(create, { terminal: TERMINAL, answers });
    expect(await ask('short')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('shorter than 12') });
    expect(await ask(PHRASE, `${PHRASE}!`)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('differ') });
    expect(world.machine.repos).toEqual([]);
    const { stdout, stderr, exitCode } = await ask(PHRASE, PHRASE);
    expect({ exitCode, shown: (stdout + stderr).includes(PHRASE) }).toEqual({ exitCode: 0, shown: false });
    expect(only(world)).toEqual({ value: PHRASE, kdf: 'passphrase' });
  });

  test('one from a command or stdin is used and not saved', async () => {
    const world = workstation('m');
    await world.done(['repo', 'create', 'a', '--size', '1G', '--credential-command', `echo '${PHRASE}'; echo more`]);
    await world.done('repo create b --size 1G --credential-stdin', { stdin: `${PHRASE} b\n` });
    expect(world.machine.repos.map((repo) => repo.keys)).toEqual([[PHRASE], [`${PHRASE} b`]]);
    expect(stored(world)).toEqual({});
    expect(await world.rdc('repo mount a')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('no credential'),
    });
    await world.done('repo mount a --credential-stdin', { stdin: PHRASE });
    await world.done('repo mount b', { terminal: TERMINAL, answers: [`${PHRASE} b`] });
  });

  test.each([
    ['exit 3', 'the credential command ended with exit code 3'],
    ['true', 'what the credential command printed cannot be a credential: the credential is empty'],
  ])('a credential command that does "%s"', async (line, message) => {
    const { rdc } = workstation('m');
    const result = await rdc(['repo', 'create', 'a', '--size', '1G', '--credential-command', line]);
    expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(message) });
  });

  test('a dry run saves and makes nothing', async () => {
    const world = workstation('m');
    const { stdout } = await world.done('repo create shop --size 1G --dry-run');
    expect(stdout).toBe('+ repo create\n');
    expect({ stored: stored(world), records: records(world) ?? {}, repos: world.machine.repos }).toEqual({
      stored: {},
      records: {},
      repos: [],
    });
  });
});

describe('rotate', () => {
  const prepared = async () => {
    const world = workstation('m');
    await world.done('repo create shop --size 1G');
    return { world, old: only(world)?.value ?? '', repo: world.machine.repos[0] };
  };

  test('the new one is saved first and takes the place of the old one', async () => {
    const { world, old, repo } = await prepared();
    let during: Stored | undefined;
    world.machine.before = (operation) => {
      if (operation === 'repo.rotate-credential') during = only(world);
    };
    await world.done('repo credential rotate shop');
    expect(during).toMatchObject({ value: old, next: { value: repo?.keys[0] } });
    expect(only(world)).toEqual({ value: repo?.keys[0], kdf: 'random' });
    expect(repo?.keys[0]).not.toBe(old);
  });

  test('cut off after it took effect: the next use finds out', async () => {
    const { world, old, repo } = await prepared();
    world.machine.after = world.machine.cutOff;
    expect(await world.rdc('repo credential rotate shop')).toMatchObject({ exitCode: 5 });
    expect(only(world)).toMatchObject({ value: old, next: { value: repo?.keys[0] } });
    world.machine.back();
    await world.done('repo mount shop');
    expect(only(world)).toEqual({ value: repo?.keys[0], kdf: 'random' });
  });

  test('cut off before it took effect: the old one serves, and rotating again goes on with the same new one', async () => {
    const { world, old, repo } = await prepared();
    world.machine.before = (operation) => {
      if (operation === 'repo.rotate-credential') throw new RdcError('CONNECTION_LOST', 'lost');
    };
    await world.rdc('repo credential rotate shop');
    const next = only(world)?.next?.value;
    world.machine.before = () => undefined;
    await world.done('repo mount shop');
    expect(only(world)).toMatchObject({ value: old, next: { value: next } });
    await world.done('repo credential rotate shop');
    expect(repo?.keys).toEqual([next]);
    expect(only(world)?.value).toBe(next);
  });

  test('half done, both open: nothing is dropped, and it says how to finish', async () => {
    const { world, old, repo } = await prepared();
    world.machine.before = (operation) => {
      if (operation === 'repo.rotate-credential') throw new RdcError('CONNECTION_LOST', 'lost');
    };
    await world.rdc('repo credential rotate shop');
    world.machine.before = () => undefined;
    const next = only(world)?.next?.value ?? '';
    if (repo !== undefined) repo.keys = [old, next];
    const { stderr } = await world.done('repo mount shop');
    expect(stderr).toContain('finish it: rdc repo credential rotate shop');
    expect(only(world)).toMatchObject({ value: old, next: { value: next } });
  });

  test.each([['repo credential add shop'], ['repo adopt shop -m m']])(
    '%s with the old one while the machine rotates: the new one stays, for it is all that opens in the end',
    async (line) => {
      const { world, old, repo } = await prepared();
      world.machine.before = async (operation) => {
        if (operation !== 'repo.rotate-credential') return;
        await world.done(`${line} --credential-stdin`, { stdin: old });
      };
      world.machine.after = world.machine.cutOff;
      await world.rdc('repo credential rotate shop');
      expect(only(world)?.next?.value).toBe(repo?.keys[0]);
    },
  );

  test('two at once, and the follower of the one that takes effect is cut off: its credential is not written over', async () => {
    const { world, old, repo } = await prepared();
    if (repo === undefined) throw new Error('no repository');
    world.machine.before = async (operation) => {
      if (operation !== 'repo.verify-credential') return;
      world.machine.before = (later) => {
        if (later === 'repo.rotate-credential') throw new RdcError('BUSY', 'the first rotation goes on');
      };
      const next = { value: 'the first', kdf: 'random' };
      const file = join(world.configDir, 'credentials.json');
      const text = { version: 1, credentials: { [repo.guid]: { value: old, kdf: 'random', next } } };
      writeFileSync(file, JSON.stringify(text));
    };
    expect(await world.rdc('repo credential rotate shop')).toMatchObject({ exitCode: 11 });
    expect(only(world)).toMatchObject({ value: old, next: { value: 'the first' } });
  });

  test('a command that finds out how a rotation ended writes over no later one', async () => {
    const { world, repo } = await prepared();
    world.machine.after = world.machine.cutOff;
    await world.rdc('repo credential rotate shop');
    if (repo === undefined) throw new Error('no repository');
    let asked = 0;
    world.machine.before = async (operation) => {
      if (operation !== 'repo.verify-credential' || ++asked < 2) return;
      world.machine.before = () => undefined;
      repo.keys.push(only(world)?.value ?? '');
      await world.done('repo credential rotate shop');
      await world.done('repo credential rotate shop');
    };
    world.machine.back();
    await world.rdc('repo mount shop');
    expect(only(world)).toEqual({ value: repo.keys[0], kdf: 'random' });
  });

  test('a wrong credential given: exit 12, the good one stays', async () => {
    const { world, old } = await prepared();
    const result = await world.rdc('repo credential rotate shop --credential-stdin', { stdin: 'not the one' });
    expect(result).toMatchObject({ exitCode: 12 });
    expect(only(world)).toEqual({ value: old, kdf: 'random' });
  });
});

describe('show, add, adopt', () => {
  test('show prints to a terminal, elsewhere only on purpose', async () => {
    const world = workstation('m');
    await world.done('repo create shop --size 1G');
    const key = only(world)?.value ?? '';
    expect((await world.done('repo credential show shop', { terminal: TERMINAL })).stdout).toBe(`${key}\n`);
    for (const line of ['repo credential show shop', 'repo credential show shop --json']) {
      const refused = await world.rdc(line);
      expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--reveal') });
      expect(refused.stdout + refused.stderr).not.toContain(key);
    }
    expect((await world.done('repo credential show shop --reveal')).stdout).toBe(`${key}\n`);
    expect((await world.done('repo credential show shop --reveal --json')).json()).toEqual({
      name: 'shop',
      credential: key,
    });
  });

  test('add saves only what opens', async () => {
    const world = workstation('m');
    world.machine.add('shop', PHRASE);
    expect(await world.rdc('repo credential add shop --credential-stdin', { stdin: 'wrong' })).toMatchObject({
      exitCode: 12,
    });
    expect(stored(world)).toEqual({});
    await world.done('repo credential add shop', { terminal: TERMINAL, answers: [PHRASE] });
    await world.done('repo mount shop');
  });

  test('adopt takes over by GUID or by name', async () => {
    const world = workstation('m', 'other');
    const repo = world.machine.add('shop', PHRASE);
    const refused = await world.rdc(`repo adopt ${repo.guid} -m m --credential-stdin`, { stdin: 'wrong' });
    expect(refused).toMatchObject({ exitCode: 12 });
    expect(await world.rdc('repo adopt shpo -m m')).toMatchObject({
      exitCode: 10,
      stderr: expect.stringContaining('"shop"'),
    });
    await world.done(`repo adopt ${repo.guid} -m m --credential-stdin`, { stdin: PHRASE });
    await world.done('repo up shop');
    expect((await world.done('repo adopt shop -m m')).stderr).toContain('= already');
  });

  test('a wrong stored credential: exit 12', async () => {
    const world = workstation('m');
    await world.done('repo create shop --size 1G');
    const [repo] = world.machine.repos;
    if (repo !== undefined) repo.keys = ['another'];
    expect(await world.rdc('repo up shop')).toMatchObject({ exitCode: 12 });
  });
});

describe('delete', () => {
  test('asks for the name, and takes the credential along', async () => {
    const world = workstation('m');
    await world.done('repo create shop --size 1G');
    expect(await world.rdc('repo delete shop')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('rdc repo delete shop -m m --yes'),
    });
    const wrong = await world.rdc('repo delete shop', { terminal: TERMINAL, answers: ['shpo'] });
    expect(wrong).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('nothing was changed') });
    expect(world.machine.repos).toHaveLength(1);
    await world.done('repo delete shop', { terminal: TERMINAL, answers: ['shop'] });
    expect({ repos: world.machine.repos, stored: stored(world), records: records(world) }).toEqual({
      repos: [],
      stored: {},
      records: {},
    });
  });

  test('a machine that fails to delete leaves the key where it is', async () => {
    const world = workstation('m');
    await world.done('repo create shop --size 1G');
    world.machine.before = (operation) => {
      if (operation === 'repo.delete') throw new RdcError('BUSY', '"shop" is being changed');
    };
    expect(await world.rdc('repo delete shop --yes')).toMatchObject({ exitCode: 11 });
    expect(only(world)).toBeDefined();
  });
});
