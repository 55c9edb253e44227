// The command line: what is understood, what is refused, and the help of every command.
import { describe, expect, test } from 'vitest';
import { GROUPS } from '../../src/cli/commands/index.ts';
import { parseLine } from '../../src/cli/program.ts';
import { runCli, temporaryDirectory } from '../helpers/run-cli.ts';

const parse = (line: string) => parseLine(line.split(' '), { groups: GROUPS, version: '0.1.0', columns: 100 });
const rdc = (...argv: string[]) => runCli(argv, { configDir: temporaryDirectory() });

describe('help', () => {
  test('of every command', async () => {
    const loaded = await Promise.all(GROUPS.map(async (group) => [group, await group.load()] as const));
    const names = loaded.flatMap(([group, commands]) => [
      group.name,
      ...Object.keys(group.subgroups ?? {}),
      ...commands.map(({ name }) => name),
    ]);
    const pages = [await rdc('--help')];
    for (const name of new Set(names)) pages.push(await rdc(...name.split(' '), '--help'));
    expect(pages.every(({ exitCode }) => exitCode === 0)).toBe(true);
    const text = pages.map(({ stdout }) => stdout).join(`\n${'-'.repeat(80)}\n`);
    await expect(text).toMatchFileSnapshot('__snapshots__/help.txt');
  });

  test('"rdc help repo up" is "rdc repo up --help"', async () => {
    expect((await rdc('help', 'repo', 'up')).stdout).toBe((await rdc('repo', 'up', '--help')).stdout);
  });

  test.each([[[]], [['repo']], [['repo', 'credential']]])('%j lacks a verb: help on stderr, exit 2', async (argv) => {
    const { stdout, stderr, exitCode } = await rdc(...argv);
    expect(stdout).toBe('');
    expect(stderr).toContain('Commands:');
    expect(exitCode).toBe(2);
  });

  test('--version', async () => {
    expect(await rdc('--version')).toMatchObject({ stdout: '0.1.0\n', exitCode: 0 });
  });
});

describe('options', () => {
  test.each(['--json repo list', 'repo --json list', 'repo list --json'])(
    '%s: before and after the verb',
    async (line) => {
      expect(await parse(line)).toMatchObject({ kind: 'run', globals: { json: true } });
    },
  );

  test.each([
    ['repo up shop --wait', '15m'],
    ['repo up --wait shop', '15m'],
    ['repo up shop --wait=30s', '30s'],
    ['repo up shop', undefined],
  ])('%s waits %s', async (line, wait) => {
    expect(await parse(line)).toMatchObject({ raw: { name: 'shop', wait } });
  });

  test.each([
    ['repo up shop', undefined],
    ['repo up shop --mount', true],
    ['repo up shop --no-mount', false],
  ])('%s', async (line, mount) => {
    expect(await parse(line)).toMatchObject({ raw: { mount } });
  });

  test('a list option may be repeated', async () => {
    const line = await parse('context setup-machine prod --registry-mirror http://a:1 --registry-mirror http://b:2');
    expect(line).toMatchObject({ raw: { registryMirror: ['http://a:1', 'http://b:2'] } });
  });

  test('quiet and short options in one word', async () => {
    expect(await parse('repo up shop -qm prod')).toMatchObject({ globals: { quiet: true }, raw: { machine: 'prod' } });
  });
});

describe('refused with exit 2, before anything is read', () => {
  test.each([
    ['repoo list', 'unknown command "repoo"', 'did you mean "repo"?'],
    ['repo upp shop', 'unknown command "upp"', 'did you mean "up"?'],
    ['repo up shop --moun', 'unknown option "--moun"', 'did you mean "--mount"?'],
    ['repo up', 'missing required argument "NAME"', 'rdc repo up --help'],
    ['repo up a b', 'too many arguments for "up". Expected 1 argument but got 2.', 'rdc repo up --help'],
    ['repo create shop', 'required option "--size <size>" not specified', 'rdc repo create --help'],
    ['repo create shop --size 10Q', '--size: "10Q" is not a size', 'write a number and a unit, e.g. 512M, 10G or 1T'],
    ['repo create shop --size 1M', '--size "1M": a repository needs at least 64M', undefined],
    ['repo create a/b --size 10G', '"a/b" is no legal repository name', undefined],
    ['repo create -- -x --size', 'required option', 'rdc repo create --help'],
    ['repo up -x', 'unknown option "-x"', 'rdc repo up --help'],
    ['repo up shop --timeout soon', '--timeout: "soon" is not a duration', 'write e.g. 30s, 15m or 2h'],
    ['repo up shop --wait=soon', '"soon" is not a duration', 'write e.g. 30s, 15m or 2h'],
    ['repo up shop -m ../x', '--machine: "../x" is no legal machine name', undefined],
    ['repo list --context a/b', '"a/b" is no legal context name', undefined],
    ['context add-machine m --ip -oProxyCommand=x --user u', '--ip: not an address or a host name', undefined],
    ['context add-machine m --ip 1.2.3.4 --user -l', '--user: not a login name', undefined],
    ['context add-machine m --ip 1.2.3.4 --user u --port 0', '--port "0": not a port number (1 to 65535)', undefined],
    ['context add-machine m --ip 1.2.3.4 --user u --datastore ../x', '--datastore: not an absolute path', undefined],
    ['run attach 12', 'not a run id', undefined],
  ])('%s', async (line, message, hint) => {
    const { stdout, stderr, exitCode } = await rdc(...line.split(' '));
    expect(stderr).toContain(`rdc: ${message}`);
    if (hint !== undefined) expect(stderr).toContain(`hint: ${hint}`);
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 2 });
  });

  test.each(['a\nb', '-x', '', 'ü', 'a'.repeat(64)])('the name %j', async (name) => {
    const { stderr, exitCode } = await rdc('repo', 'create', '--size', '10G', '--', name);
    expect(stderr).toContain('is no legal repository name');
    expect(exitCode).toBe(2);
  });

  test('under --json as a document', async () => {
    const { stdout, exitCode } = await rdc('repo', 'upp', '--json');
    expect(JSON.parse(stdout)).toEqual({
      error: { code: 'USAGE', message: 'unknown command "upp"', hint: 'did you mean "up"?' },
    });
    expect(exitCode).toBe(2);
  });
});
