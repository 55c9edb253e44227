// Which files and which project `renet compose` works on: compose-go's rules, with a docker that records.
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ShimWorld } from './shim-world.ts';

let world: ShimWorld;
beforeEach(async () => {
  world = await ShimWorld.create();
  await world.answer('config', await readFile('test/fixtures/shim/shop.config.yaml', 'utf8'));
});
afterEach(() => world.remove());

/** COMPOSE_FILE of the last call without the file that was added, relative to the mount; undefined: it was not set. */
async function filesOf(cwd: string, env: Record<string, string | undefined> = {}, flags: string[] = []) {
  const { calls } = await world.run(['compose', ...flags, 'up'], { cwd, env });
  const list = calls.at(-1)?.env.COMPOSE_FILE?.split('\n');
  expect(list === undefined || list.at(-1)?.includes('/.rediacc/compose/')).toBe(true);
  return list?.slice(0, -1).map((path) => path.replace(`${world.mount}/`, ''));
}

async function write(...paths: string[]): Promise<void> {
  for (const path of paths) await world.file(path, 'services: {}\n');
}

describe('files without -f', () => {
  test.each([
    [['docker-compose.yaml', 'docker-compose.yml', 'compose.yml', 'compose.yaml'], ['compose.yaml']],
    [['docker-compose.yaml', 'docker-compose.yml', 'compose.yml'], ['compose.yml']],
    [['docker-compose.yaml', 'docker-compose.yml'], ['docker-compose.yml']],
    [['docker-compose.yaml'], ['docker-compose.yaml']],
    [
      ['compose.yaml', 'docker-compose.override.yml'],
      ['compose.yaml', 'docker-compose.override.yml'],
    ],
    [
      ['compose.yaml', 'compose.override.yaml', 'compose.override.yml'],
      ['compose.yaml', 'compose.override.yml'],
    ],
  ])('%j', async (present, wanted) => {
    await write(...present);
    expect(await filesOf('')).toEqual(wanted);
  });

  test('of the nearest parent, and its override', async () => {
    await write('compose.yaml', 'a b/compose.yml', 'a b/compose.override.yml', 'a b/c/d/x');
    expect(await filesOf('a b/c/d')).toEqual(['a b/compose.yml', 'a b/compose.override.yml']);
  });

  test('none: compose itself tells', async () => {
    expect(await filesOf('')).toBeUndefined();
  });

  test('COMPOSE_FILE, with its separator', async () => {
    await write('compose.yaml');
    expect(await filesOf('', { COMPOSE_FILE: 'a.yml:dir/b c.yml' })).toEqual(['a.yml', 'dir/b c.yml']);
    expect(await filesOf('', { COMPOSE_FILE: 'a.yml;b:c.yml', COMPOSE_PATH_SEPARATOR: ';' })).toEqual([
      'a.yml',
      'b:c.yml',
    ]);
  });

  test('COMPOSE_FILE in the .env, as compose reads it', async () => {
    await world.file('.env', 'COMPOSE_FILE="one file.yml;b\'s.yml"\nCOMPOSE_PATH_SEPARATOR=;\n');
    await world.answer('probe', await readFile('test/fixtures/shim/probe.config.yaml', 'utf8'));
    expect(await filesOf('')).toEqual(['one file.yml', "b's.yml"]);
  });

  test('an .env that names files elsewhere goes on to count, before the one beside them, for the project too', async () => {
    await world.file('.env', 'COMPOSE_FILE=backend/compose.yaml\nCOMPOSE_PROJECT_NAME=named\n');
    await world.answer(
      'probe',
      'name: probe\nservices:\n  probe:\n    labels:\n      file: :backend/compose.yaml\n      separator: ":"\n',
    );
    await write('backend/compose.yaml');
    const call = async () => (await world.run(['compose', 'up'], { cwd: '' })).calls.at(-1);
    const flags = (...paths: string[]) => paths.flatMap((path) => ['--env-file', `${world.mount}/${path}`]);
    const first = await call();
    expect(first?.args).toEqual(['compose', ...flags('.env'), 'up']);
    expect(first?.env.COMPOSE_PROJECT_NAME).toBeUndefined();
    await world.file('backend/.env', 'PORT=1\n');
    expect((await call())?.args).toEqual(['compose', ...flags('backend/.env', '.env'), 'up']);
  });

  test('--project-directory is where they are looked for', async () => {
    await write('compose.yaml', 'other/compose.yaml');
    expect(await filesOf('', {}, ['--project-directory', 'other'])).toEqual(['other/compose.yaml']);
  });
});

describe('the project', () => {
  const nameOf = async (cwd: string, words: string[], env = {}) =>
    (await world.run(['compose', ...words], { cwd, env })).calls.map((call) => call.env.COMPOSE_PROJECT_NAME);

  test.each([
    ['', ['ps'], 'shop'],
    ['backend', ['ps'], 'backend'],
    ['My App', ['ps'], 'my-app'],
    ['My App/deeper', ['ps'], 'my-app'],
    ['backend/own', ['ps'], undefined],
    ['', ['--project-directory', 'My App', 'ps'], 'my-app'],
    ['', ['-f', 'backend/compose.yaml', 'ps'], 'backend'],
    ['', ['-f', './backend/../compose.yaml', 'ps'], 'shop'],
    ['backend', ['-f', '../compose.yaml', 'ps'], 'shop'],
    ['', ['-f', 'named.yaml', 'ps'], undefined],
    ['', ['-p', 'mine', 'ps'], 'shop'],
  ])('in "%s" of compose %j: %s', async (cwd, words, name) => {
    await write(
      'compose.yaml',
      'backend/compose.yaml',
      'My App/compose.yaml',
      'My App/deeper/x',
      'backend/own/compose.yaml',
    );
    await world.file('named.yaml', 'services: {}\n"name" : author\n');
    expect(await nameOf(cwd, words)).toEqual([name]);
  });

  test('the model is asked for with the same name', async () => {
    await write('backend/compose.yaml');
    expect(await nameOf('backend', ['up'])).toEqual(['backend', 'backend']);
  });

  test('what the author says wins: a variable, the .env, a file on stdin', async () => {
    await write('compose.yaml', 'backend/compose.yaml');
    expect(await nameOf('backend', ['ps'], { COMPOSE_PROJECT_NAME: 'exported' })).toEqual(['exported']);
    await world.file('backend/.env', 'export COMPOSE_PROJECT_NAME=from-env\n');
    expect(await nameOf('backend', ['ps'])).toEqual([undefined]);
    expect(await nameOf('backend', ['--env-file', '/dev/null', 'ps'])).toEqual(['backend']);
    const named = await world.run(['compose', '-f', '-', 'ps'], { stdin: 'name: x\nservices: {}\n' });
    expect(named.calls[0]?.env.COMPOSE_PROJECT_NAME).toBeUndefined();
    const nameless = await world.run(['compose', '-f', '-', 'ps'], { stdin: 'services: {name: {image: x}}\n' });
    expect(nameless.calls[0]?.env.COMPOSE_PROJECT_NAME).toBe('shop');
  });

  test('where the author named the root, the directories have theirs', async () => {
    await world.file('compose.yaml', 'name: author\nservices: {}\n');
    await write('backend/compose.yaml');
    const env = { COMPOSE_PROJECT_NAME: undefined, REDIACC_PROJECT: undefined };
    expect(await nameOf('', ['ps'], env)).toEqual([undefined]);
    expect(await nameOf('backend', ['ps'], env)).toEqual(['backend']);
  });
});
