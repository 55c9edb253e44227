// Which directories `up --only` and `up --changed` call, and when a good up() stops to count; over real directories.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import type { Workbench } from '../../src/agent/repo-workbench.ts';
import { chooseScope, forgetDeployed, rememberDeployed, scopeName, snapshot } from '../../src/agent/up-scope.ts';
import { findRediaccfiles } from '../../src/lifecycle/rediaccfile.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { OPERATIONS } from '../../src/protocol/operations.ts';
import { shopTarget } from '../helpers/target.ts';

let mountPoint: string;
let isUp: boolean;
const system = createLinuxSystem({});
const told: string[] = [];
const report = (event: RunEvent) => void (event.kind === 'warning' && told.push(event.message));
const context = { system, report } as unknown as RunContext;

beforeEach(() => {
  mountPoint = mkdtempSync(join(tmpdir(), 'rdc-scope-'));
  isUp = true;
  put('Rediaccfile', 'a/Rediaccfile', 'b/Rediaccfile', '.rediacc/home/x');
});
afterEach(() => rmSync(mountPoint, { recursive: true }));

function put(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(mountPoint, path)), { recursive: true });
    writeFileSync(join(mountPoint, path), `${Math.random()}`);
  }
}

function bench(): Workbench {
  const target = shopTarget();
  const internal = join(mountPoint, '.rediacc');
  const servicesFile = join(mountPoint, '.rediacc.json');
  const paths = { ...target.paths, mountPoint, internal, servicesFile, deployed: join(internal, 'deployed.json') };
  const observe = async () => ({ needsDown: isUp, units: { docker: { active: 'active' } } });
  return { target: { ...target, paths }, record: { name: 'shop' }, observe } as unknown as Workbench;
}

const files = () => findRediaccfiles(system, mountPoint);
const wanted = (input: { only?: string[]; changed?: boolean }) =>
  OPERATIONS['repo.up'].input.parse({ repo: 'shop', ...input });

/** What would be called, by name. */
async function chosen(input: { only?: string[]; changed?: boolean }): Promise<string[]> {
  const { includes } = await chooseScope(bench(), context, await files(), wanted(input));
  return (await files()).filter(includes).map(scopeName);
}

/** As upRepo does, with functions that do `work`. True when every directory is up. */
async function up(
  input: { only?: string[]; changed?: boolean } = {},
  { failing = [], work = () => undefined }: { failing?: string[]; work?: () => void } = {},
): Promise<boolean> {
  const scope = await chooseScope(bench(), context, await files(), wanted(input));
  await forgetDeployed(bench(), context, scope);
  isUp = true;
  const called = (await files()).filter(scope.includes);
  const digests = await snapshot(bench(), context, called);
  work();
  const failed = failing.map((where) => ({ where, reason: 'exit code 1' }));
  return rememberDeployed(bench(), context, await files(), { called, failed, digests });
}

describe('--only', () => {
  test('the named ones, in the order of up', async () => {
    expect(await chosen({})).toEqual(['.', 'a', 'b']);
    expect(await chosen({ only: ['b', '.'] })).toEqual(['.', 'b']);
  });

  test.each([['c'], ['A'], ['a/'], ['.rediacc'], ['']])('"%s" is none of them, and they are named', async (name) => {
    put('c/readme');
    const end = chooseScope(bench(), context, await files(), { ...wanted({}), only: ['a', name] });
    const hint = 'it has one in: ., a, b   (. is the root)';
    await expect(end).rejects.toMatchObject({ code: 'NOT_FOUND', hint, message: expect.stringContaining(`"${name}"`) });
  });

  test('the whole is up once each of its directories was', async () => {
    expect(await up({ only: ['a'] })).toBe(false);
    expect(await up({ only: ['.', 'b'] })).toBe(true);
  });
});

describe('--changed', () => {
  test('everything before the first good up, then nothing, then what has changed', async () => {
    expect(await chosen({ changed: true })).toEqual(['.', 'a', 'b']);
    await up();
    expect(await chosen({ changed: true })).toEqual([]);
    put('b/app.js');
    expect(await chosen({ changed: true })).toEqual(['b']);
    put('c/Rediaccfile');
    expect(await chosen({ changed: true })).toEqual(['b', 'c']);
    await up({ changed: true });
    expect(await chosen({ changed: true })).toEqual([]);
  });

  test('a failed one is done again, and the others are not', async () => {
    expect(await up({}, { failing: ['a up'] })).toBe(false);
    expect(await chosen({ changed: true })).toEqual(['a']);
    expect(await up({ changed: true })).toBe(true);
  });

  test('cut off before its end: it is done again', async () => {
    await up();
    const scope = await chooseScope(bench(), context, await files(), wanted({ only: ['a'] }));
    await forgetDeployed(bench(), context, scope);
    expect(await chosen({ changed: true })).toEqual(['a']);
  });

  test('a file that comes while up() runs counts', async () => {
    await up({}, { work: () => put('a/late') });
    expect(await chosen({ changed: true })).toEqual(['a']);
  });

  test('after a down everything has to be started, whatever its files are', async () => {
    await up();
    isUp = false;
    expect(await chosen({ changed: true })).toEqual(['.', 'a', 'b']);
    expect(await up({ only: ['a'], changed: true })).toBe(false);
    expect(await chosen({ changed: true })).toEqual(['.', 'b']);
  });

  test('together with --only', async () => {
    await up();
    put('a/x', 'b/x');
    expect(await chosen({ only: ['b'], changed: true })).toEqual(['b']);
  });

  test('a directory that services write to does not count, and it is told; a file, and what they only read, counts', async () => {
    const volumes = '["./data:/d", "./conf:/c:ro", "./app.conf:/a"]';
    writeFileSync(join(mountPoint, 'a/compose.yaml'), `services: {db: {image: x, volumes: ${volumes}}}`);
    put('a/data/rows', 'a/conf/settings', 'a/app.conf');
    await up();
    put('a/data/rows');
    expect(await chosen({ changed: true })).toEqual([]);
    expect(told).toContain('not compared, since services may write there: a/data');
    for (const path of ['a/conf/settings', 'a/app.conf']) {
      put(path);
      expect(await chosen({ changed: true }), path).toEqual(['a']);
      await up({ changed: true });
    }
  });

  test('a state that cannot be read is none, and none is written through a link', async () => {
    await up();
    put('.rediacc/deployed.json');
    expect(await chosen({ changed: true })).toEqual(['.', 'a', 'b']);
    const elsewhere = mkdtempSync(join(tmpdir(), 'rdc-elsewhere-'));
    rmSync(join(mountPoint, '.rediacc'), { recursive: true });
    symlinkSync(elsewhere, join(mountPoint, '.rediacc'));
    await up();
    expect(await system.list(elsewhere)).toEqual([]);
    rmSync(elsewhere, { recursive: true });
  });
});
