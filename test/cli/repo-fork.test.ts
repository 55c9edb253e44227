// rdc repo fork, on a model machine.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { RdcError } from '../../src/protocol/errors.ts';
import { type Workstation, workstation } from '../helpers/cli-world.ts';

let desk: Workstation;

beforeEach(async () => {
  desk = workstation('server-1');
  await desk.done('repo create shop --size 1G');
});

const credentials = () => JSON.parse(readFileSync(join(desk.configDir, 'credentials.json'), 'utf8')).credentials;
const repo = (name: string) => desk.machine.repos.find((one) => one.name === name);

test('the fork has a credential of its own, saved here; the next one works without being told any', async () => {
  const { stderr, stdout } = await desk.done('repo fork shop --as try');
  expect(stderr).toContain('"shop" forked as "try" on "server-1" (blocks shared, network id 2880)');
  expect(stderr).toContain('its master key is still that of "shop"');
  const { guid, keys = [] } = repo('try') ?? {};
  expect(credentials()[guid ?? '']).toMatchObject({ value: keys[0], kdf: 'random' });
  expect(keys[0]).not.toBe(repo('shop')?.keys[0]);
  expect(stdout + stderr).not.toContain(keys[0]);
  await desk.done('repo up try');
  await desk.done('repo fork try --as try-2');
});

test('--up starts it; --json is one document', async () => {
  const { stdout } = await desk.done('repo fork shop --as try --up --json');
  const { name, copy, frozenMs, parent, up } = JSON.parse(stdout);
  expect({ name, copy, frozenMs, parent }).toEqual({
    ...{ name: 'try', copy: 'shared', frozenMs: 43 },
    parent: repo('shop')?.guid,
  });
  expect(up).toMatchObject({ outcome: 'done', state: 'up' });
  desk.machine.failing = ['root up'];
  expect((await desk.rdc('repo fork shop --as try-2 --up')).exitCode).toBe(3);
});

test('list shows the tree, also when a parent is gone', async () => {
  await desk.done('repo create alone --size 1G');
  for (const line of ['repo fork shop --as try', 'repo fork try --as a-try', 'repo fork alone --as orphan']) {
    await desk.done(line);
  }
  desk.machine.repos.splice(1, 1);
  const { stdout } = await desk.done('repo list');
  const names = stdout
    .split('\n')
    .slice(1)
    .map((line) => line.split(/ {2,}server-1/)[0]?.trimEnd());
  expect(names.filter((name) => name !== '')).toEqual([
    'shop',
    '└─ try',
    '   └─ a-try',
    'orphan (fork of a deleted one)',
  ]);
});

test('a credential that is wrong or not known makes nothing and leaves nothing', async () => {
  const wrong = await desk.rdc('repo fork shop --as try --credential-stdin', { stdin: 'not the one\n' });
  expect(wrong.exitCode).toBe(12);
  desk.machine.add('theirs', 'secret');
  const unknown = await desk.rdc('repo fork theirs --as try');
  expect(unknown).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('"theirs"') });
  expect(Object.keys(credentials())).toEqual([repo('shop')?.guid]);
  expect(repo('try')).toBeUndefined();
});

test('cut off, the same command goes on with the same GUID and credential', async () => {
  desk.machine.after = async (operation) => {
    if (operation === 'repo.fork') throw new RdcError('UNREACHABLE', 'the machine stays away');
  };
  const cut = await desk.rdc('repo fork shop --as try');
  expect(cut).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('the same command again finishes it') });
  const { guid, keys } = repo('try') ?? {};
  desk.machine.after = async () => undefined;
  const again = await desk.done('repo fork shop --as try');
  expect(again.stderr).toContain('= already: "try" is a fork of "shop"');
  expect(repo('try')).toMatchObject({ guid, keys });
  expect(credentials()[guid ?? ''].value).toBe(keys?.[0]);
});

test.each(['../x', '-x', 'a b', '', 'x'.repeat(64)])('as %j: refused before anything is reached', async (name) => {
  expect((await desk.rdc(['repo', 'fork', 'shop', `--as=${name}`])).exitCode).toBe(2);
});
