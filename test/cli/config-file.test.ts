// config.json and credentials.json: torn, foreign, locked, changed by several at once.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { configFile } from '../../src/cli/config-file.ts';
import { jsonPlaces, lineAt } from '../../src/cli/json-position.ts';
import { withFileLock } from '../../src/cli/lock-file.ts';
import { workstationPaths } from '../../src/cli/paths.ts';
import { processIdentity } from '../../src/cli/playground/process-identity.ts';
import { runCli, temporaryDirectory } from '../helpers/run-cli.ts';

let configDir: string;
let path: string;

beforeEach(() => {
  configDir = temporaryDirectory();
  path = join(configDir, 'config.json');
});

const rdc = (...argv: string[]) => runCli(argv, { configDir });

describe('a file that is not ours is refused by line and never overwritten', () => {
  test.each([
    ['torn', '{\n  "version": 1,\n  "contexts": {\n', 'line 4: the text ends too early'],
    ['empty', '', 'line 1: the text ends too early'],
    ['a comma too many', '{\n  "version": 1,\n  "contexts": {},\n}', 'line 4: not valid JSON'],
    ['no JSON', 'contexts:\n  a: b\n', 'line 1: not valid JSON'],
    ['a control character', '{"version": 1,\n"current": "a\tb"}', 'line 2: not valid JSON'],
    ['foreign', '{"name": "my-app"}', 'line 1: version: not a version that this rdc knows'],
    ['newer', '{\n  "version": 2,\n  "contexts": {}\n}', 'line 2: version: not a version that this rdc knows'],
    [
      'a bad port',
      '{"version": 1, "contexts": {"a": {"machines": {"m": {"ip": "h", "user": "u",\n"port": 0}}}}}',
      'line 2: contexts.a.machines.m.port: not a port number',
    ],
    [
      'an unknown key',
      '{"version": 1, "contexts": {\n"a": {"colour": "red"}}}',
      'line 2: contexts.a: Unrecognized key: "colour"',
    ],
  ])('%s', async (_what, text, message) => {
    writeFileSync(path, text);
    for (const argv of [
      ['context', 'list'],
      ['context', 'create-local', 'b'],
    ]) {
      const { stderr, exitCode } = await rdc(...argv);
      expect(stderr).toContain(`${path}, ${message}`);
      expect(stderr).toContain('rdc leaves the file as it is');
      expect(exitCode).toBe(2);
    }
    expect(readFileSync(path, 'utf8')).toBe(text);
    expect(readdirSync(configDir)).toEqual(['config.json']);
  });

  test('a torn credentials.json never shows what is in it', async () => {
    await rdc('context', 'create-local', 'a');
    writeFileSync(join(configDir, 'credentials.json'), '{"version": 1, "credentials": {"x": {"value": "marked-secret"');
    const { stderr, stdout, exitCode } = await rdc('doctor', '-v');
    expect(stdout).toContain('credentials.json, line 1: the text ends too early');
    expect(stdout + stderr).not.toContain('marked-secret');
    expect(exitCode).toBe(1);
  });
});

describe('writing', () => {
  test('0600 in a directory 0700, whatever was there before', async () => {
    const inner = join(configDir, 'deep', 'rediacc');
    const file = configFile({ configDir: inner, dryRun: false });
    await file.update(() => undefined);
    expect(statSync(inner).mode & 0o777).toBe(0o700);
    chmodSync(file.path, 0o644);
    await file.update(() => undefined);
    expect(statSync(file.path).mode & 0o777).toBe(0o600);
    expect(readdirSync(inner)).toEqual(['config.json']);
  });

  test('a symbolic link stays one', async () => {
    mkdirSync(join(configDir, 'dotfiles'));
    const real = join(configDir, 'dotfiles', 'config.json');
    writeFileSync(real, '{"version": 1, "contexts": {}}');
    symlinkSync(real, path);
    await rdc('context', 'create-local', 'a');
    expect(JSON.parse(readFileSync(real, 'utf8'))).toMatchObject({ current: 'a' });
  });

  test('a dry run writes nothing', async () => {
    const { stderr } = await rdc('context', 'create-local', 'a', '--dry-run');
    expect(stderr).toContain('dry run, nothing is changed');
    expect(existsSync(path)).toBe(false);
  });

  test('twenty at once lose nothing', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `c${index}`);
    await Promise.all(names.map((name) => rdc('context', 'create-local', name)));
    const { contexts } = JSON.parse(readFileSync(path, 'utf8'));
    expect(Object.keys(contexts).sort()).toEqual(names.sort());
    expect(readdirSync(configDir)).toEqual(['config.json']);
  });
});

describe('the lock', () => {
  const lock = () => `${path}.lock`;
  const update = () => configFile({ configDir, dryRun: false }).update(() => 'done');

  test('of a process that is gone is cleared', async () => {
    const { pid } = spawnSync('true');
    writeFileSync(lock(), JSON.stringify({ pid, host: hostname(), process: 'boot:1' }));
    expect(await update()).toBe('done');
  });

  test('of a process whose number another one has now is cleared', async () => {
    writeFileSync(lock(), JSON.stringify({ pid: process.pid, host: hostname(), process: 'an earlier boot:1' }));
    expect(await update()).toBe('done');
  });

  test('half written and old is cleared', async () => {
    writeFileSync(lock(), '');
    const longAgo = new Date(Date.now() - 3_600_000);
    utimesSync(lock(), longAgo, longAgo);
    expect(await update()).toBe('done');
  });

  test('many who find a dead owner still take turns', async () => {
    writeFileSync(lock(), JSON.stringify({ pid: process.pid, host: hostname(), process: 'gone:1' }));
    let inside = 0;
    const work = async () => {
      inside += 1;
      expect(inside).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 2));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 20 }, () => withFileLock(lock(), work)));
    expect(existsSync(lock())).toBe(false);
  });

  test('of a living process is waited for, then named', async () => {
    const owner = { pid: process.pid, host: hostname(), process: await processIdentity(process.pid) };
    writeFileSync(lock(), JSON.stringify(owner));
    await expect(withFileLock(lock(), async () => 'never', 100)).rejects.toMatchObject({
      code: 'BUSY',
      message: expect.stringContaining(`process ${process.pid}`),
      hint: expect.stringContaining(`rm ${lock()}`),
    });
    expect(existsSync(lock())).toBe(true);
  });
});

describe('places in JSON', () => {
  test.each(['{}', ' [1, -2.5e3, "a\\u00e9\\n", true, null] ', '{"a": {"b": [{}]}}', '"x"'])('%s is valid', (text) => {
    expect(jsonPlaces(text).errorAt).toBeUndefined();
    expect(() => JSON.parse(text)).not.toThrow();
  });

  test.each(['', '{', '[1,]', '{"a":}', '{"a" 1}', '{a: 1}', '01', '1 2', '"\n"', '{"a":1,,}', 'nul', '[1 2]'])(
    '%j is not',
    (text) => {
      expect(jsonPlaces(text).errorAt).toBeTypeOf('number');
      expect(() => JSON.parse(text)).toThrow();
    },
  );

  test('of values', () => {
    const text = '{\n"a": {\n  "b": [1,\n 2]}}';
    const at = (key: string) => lineAt(text, jsonPlaces(text).values.get(key) ?? -1);
    expect([at('a'), at('a.b'), at('a.b.1')]).toEqual([2, 3, 4]);
  });
});

describe('where the files are', () => {
  test.each([
    [{ HOME: '/home/a' }, '/home/a/.config/rediacc', '/home/a/.cache/rediacc', '/home/a/.local/state/rediacc'],
    [
      { HOME: '/home/a', XDG_CONFIG_HOME: '/c', XDG_CACHE_HOME: '/k', XDG_STATE_HOME: '/s' },
      '/c/rediacc',
      '/k/rediacc',
      '/s/rediacc',
    ],
    [
      { HOME: '/home/a', XDG_CONFIG_HOME: 'relative' },
      '/home/a/.config/rediacc',
      '/home/a/.cache/rediacc',
      '/home/a/.local/state/rediacc',
    ],
    [{ HOME: '/home/a', REDIACC_CONFIG_DIR: '/x' }, '/x', '/home/a/.cache/rediacc', '/home/a/.local/state/rediacc'],
  ])('%j', (env, configDir, cacheDir, stateDir) => {
    expect(workstationPaths(env)).toEqual({ configDir, cacheDir, stateDir });
  });
});
