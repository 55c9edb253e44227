// `renet compose` inside a function, with a docker that records how it is called.
import { readdir, readFile, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addedFile, ShimWorld } from './shim-world.ts';

const fixture = (name: string) => readFile(join('test/fixtures/shim', name), 'utf8');

let world: ShimWorld;
beforeEach(async () => {
  world = await ShimWorld.create();
  await world.file('compose.yaml', 'services: {}\n');
  await world.answer('config', await fixture('shop.config.yaml'));
});
afterEach(() => world.remove());

describe('what passes through untouched', () => {
  const hostile = ['', ' ', 'a b', 'line\nbreak', '*', '$(id)', '`id`', '"', "'", '\\', '--', 'ü', '-f', '\u0001'];
  test('words of a sub command that creates nothing', async () => {
    const { calls, exitCode } = await world.run(['compose', '--', 'exec', 'web', ...hostile]);
    expect(exitCode).toBe(0);
    expect(calls.map(({ args }) => args)).toEqual([['compose', 'exec', 'web', ...hostile]]);
  });

  test('words of one that does, behind the added file', async () => {
    const { calls } = await world.run(['compose', '--', '--progress', 'plain', 'run', '--rm', 'web', ...hostile]);
    expect(calls.at(-1)?.args).toEqual(['compose', '--progress', 'plain', 'run', '--rm', 'web', ...hostile]);
  });

  test('the "--" may be left out', async () => {
    const { calls } = await world.run(['compose', 'ps', '-a']);
    expect(calls[0]?.args).toEqual(['compose', 'ps', '-a']);
  });

  test.each([
    [[]],
    [['--version']],
    [['-v']],
    [['--help']],
    [['version']],
    [['ps']],
    [['down', '--volumes']],
    [['logs', '-f', 'web']],
    [['up', '--help']],
    [['-f']],
  ])('%j starts compose once and asks for no model', async (words) => {
    const { calls } = await world.run(['compose', '--', ...words]);
    expect(calls.map(({ args }) => args)).toEqual([['compose', ...words]]);
  });

  test('stdin', async () => {
    const { calls } = await world.run(['compose', '--', 'up', '-d'], { stdin: 'for compose\n' });
    expect(calls.map(({ stdin }) => stdin)).toEqual(['', 'for compose\n']);
  });

  test('the terminal', async () => {
    const { calls } = await world.run(['compose', '--', 'run', 'web', 'sh'], { terminal: true });
    expect(calls.map(({ tty }) => tty)).toEqual([false, true]);
    const control = await world.run(['compose', '--', 'run', 'web', 'sh']);
    expect(control.calls.at(-1)?.tty).toBe(false);
  });

  test('every exit code', async () => {
    const codes = Array.from({ length: 256 }, (_, code) => code);
    const seen: (number | null)[] = [];
    for (let at = 0; at < codes.length; at += 16) {
      const ends = codes
        .slice(at, at + 16)
        .map((code) => world.run(['compose', 'version'], { env: { FAKE_EXIT: `${code}` } }));
      seen.push(...(await Promise.all(ends)).map(({ exitCode }) => exitCode));
    }
    expect(seen).toEqual(codes);
  }, 60_000);

  test.each([0, 1, 2, 125, 127, 130, 143, 255])('exit code %i of up', async (code) => {
    expect((await world.run(['compose', 'up'], { env: { FAKE_EXIT: `${code}` } })).exitCode).toBe(code);
  });

  test.each([
    ['SIGTERM', 41],
    ['SIGINT', 42],
  ] as const)('%s', async (name, code) => {
    await world.answer('then', "trap 'exit 41' TERM; trap 'exit 42' INT; echo RUNNING; while :; do sleep 0.05; done");
    const end = await world.run(['compose', 'up'], { onRunning: (pid) => process.kill(pid, name) });
    expect(end.exitCode).toBe(code);
  });

  test('an end by a signal', async () => {
    await world.answer('then', 'kill -KILL $$');
    expect((await world.run(['compose', 'up'])).signal).toBe('SIGKILL');
  });
});

describe('what is added', () => {
  test('labels for each service, and the names of all to those in the namespace', async () => {
    const end = await world.run(['compose', 'up', '-d']);
    expect(end.stderr).toBe(
      'renet: no address yet for "migrate": .rediacc.json does not know it, "rdc repo up" gives it one\n',
    );
    expect(await world.addedText(end)).toBe(await fixture('shop.override.yaml'));
    expect(end.calls[0]?.args).toEqual(['compose', '--profile', '*', 'config']);
  });

  test('what the author has written stays: labels, names, and odd keys', async () => {
    await world.answer('config', await fixture('odd.config.yaml'));
    const text = await world.addedText(
      await world.run(['compose', 'up'], { env: { REDIACC_SERVICES: 'a_b=127.0.11.9' } }),
    );
    expect(text).toBe(await fixture('odd.override.yaml'));
    const [others, web] = (await fixture('shop.override.yaml')).split('"web":');
    expect(web).not.toContain('"api:');
    expect(others).toContain('"api:127.0.11.2"');
  });

  test('nothing where the model has no service', async () => {
    await world.answer('config', 'name: x\nservices: {}\n');
    const { calls } = await world.run(['compose', 'up']);
    expect(calls.at(-1)?.args).toEqual(['compose', 'up']);
    expect(addedFile(calls.at(-1))).toBeUndefined();
  });

  test.each(['up', 'create', 'run', 'scale', 'watch'])('to %s', async (sub) => {
    expect(addedFile((await world.run(['compose', sub])).calls.at(-1))).toBeDefined();
  });

  test('in a file that is named by its content: the same again is the same file, another model another one', async () => {
    const first = addedFile((await world.run(['compose', 'up'])).calls.at(-1));
    expect(addedFile((await world.run(['compose', 'up'])).calls.at(-1))).toBe(first);
    await world.answer('config', await fixture('odd.config.yaml'));
    expect(addedFile((await world.run(['compose', 'up'])).calls.at(-1))).not.toBe(first);
    expect(await readdir(join(world.mount, '.rediacc/compose'))).toHaveLength(2);
  });

  test('a file that was tampered with is written again', async () => {
    const end = await world.run(['compose', 'up']);
    await writeFile(addedFile(end.calls.at(-1)) ?? '', 'services: {web: {privileged: true}}');
    expect(await world.addedText(await world.run(['compose', 'up']))).toBe(await fixture('shop.override.yaml'));
  });

  test('never through a link', async () => {
    await symlink('/tmp', join(world.mount, '.rediacc'));
    const { exitCode, stderr, calls } = await world.run(['compose', 'up']);
    expect([exitCode, calls.length]).toEqual([125, 1]);
    expect(stderr).toContain('is reached by a link');
    await unlink(join(world.mount, '.rediacc'));
    expect((await world.run(['compose', 'up'])).exitCode).toBe(0);
  });

  test('sixteen calls at once', async () => {
    const ends = await Promise.all(Array.from({ length: 16 }, () => world.run(['compose', 'up'])));
    expect(ends.map(({ exitCode }) => exitCode)).toEqual(ends.map(() => 0));
    expect(await readdir(join(world.mount, '.rediacc/compose'))).toHaveLength(1);
  });
});

describe('a model that compose cannot resolve', () => {
  test('ends with its code and its words, and nothing is started', async () => {
    await world.answer('config-fails', 'services.web.image must be a string\n');
    const { exitCode, stderr, calls } = await world.run(['compose', 'up']);
    expect(exitCode).toBe(15);
    expect(stderr).toBe('services.web.image must be a string\n');
    expect(calls.every(({ args }) => args.includes('config'))).toBe(true);
  });

  test('with all profiles is tried with those that are wanted', async () => {
    await world.answer('all-profiles-fail', '');
    const { exitCode, stderr, calls } = await world.run(['compose', '--profile', 'web', 'up']);
    expect([exitCode, stderr.includes('env file')]).toEqual([0, false]);
    expect(calls[1]?.args).toEqual(['compose', '--profile', 'web', 'config']);
    expect(addedFile(calls[2])).toBeDefined();
  });
});

describe('flags before the sub command', () => {
  const ours = '/.rediacc/compose/';
  test.each([
    [
      ['-f', 'a.yml'],
      ['-f', 'a.yml'],
    ],
    [['-fa.yml'], ['-fa.yml']],
    [['-f=a.yml'], ['-f=a.yml']],
    [
      ['--file', 'dir with space/a.yml', '--file=b.yml'],
      ['--file', 'dir with space/a.yml', '--file=b.yml'],
    ],
    [
      ['--profile', 'x', '-p', 'name', '-f', 'a'],
      ['--profile', 'x', '-p', 'name', '-f', 'a'],
    ],
    [
      ['--env-file', 'e', '--project-directory=d', '-f', 'a'],
      ['--env-file', 'e', '--project-directory=d', '-f', 'a'],
    ],
    [
      ['--compatibility', '-f', 'up', '--ansi', 'never', '--dry-run'],
      ['--compatibility', '-f', 'up'],
    ],
    [
      ['--parallel=2', '--progress', 'plain', '-pname', '--all-resources', '-f', 'a'],
      ['-pname', '-f', 'a'],
    ],
  ])('%j', async (flags, forModel) => {
    const { calls } = await world.run(['compose', '--', ...flags, 'up', '-d']);
    expect(calls[0]?.args).toEqual(['compose', ...forModel, '--profile', '*', 'config']);
    const last = calls.at(-1)?.args ?? [];
    expect(last.slice(0, flags.length + 1)).toEqual(['compose', ...flags]);
    expect(last.slice(flags.length + 1)).toEqual(['-f', expect.stringContaining(ours), 'up', '-d']);
  });

  test('one that is not known: all passes, with a word about it', async () => {
    const { calls, stderr } = await world.run(['compose', '--', '--newer-flag', 'x', 'up']);
    expect(calls.map(({ args }) => args)).toEqual([['compose', '--newer-flag', 'x', 'up']]);
    expect(stderr).toMatch(
      /^renet: "--newer-flag" is not known here, so compose runs without the rediacc\.\* labels.*\n$/,
    );
  });

  test('a file on stdin comes to every start of compose, and keeps the working directory as the project', async () => {
    const text = 'services:\n  web: {image: nginx}\n';
    const { calls } = await world.run(['compose', '-f', '-', 'up'], { stdin: text });
    expect(calls.map(({ stdin }) => stdin)).toEqual([text, text]);
    expect(calls.at(-1)?.args.slice(0, 6)).toEqual(['compose', '-f', '-', '--project-directory', world.mount, '-f']);
    const beside = await world.run(['compose', '-f', '-', '-f', 'a.yml', 'up'], { stdin: text });
    expect(beside.calls.at(-1)?.args).not.toContain('--project-directory');
  });
});

describe('refusals', () => {
  test.each(['', 'up', 'connect', '--help', 'COMPOSE'])('renet %s', async (verb) => {
    const { exitCode, stderr, calls } = await world.run([verb]);
    expect([exitCode, calls]).toEqual([125, []]);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test.each(['REPOSITORY_PATH', 'REPOSITORY_NETWORK_ID', 'DOCKER_HOST'])('without %s', async (name) => {
    const { exitCode, stderr } = await world.run(['compose', 'up'], { env: { [name]: undefined } });
    expect([exitCode, stderr.includes(name)]).toEqual([125, true]);
  });
});
