// rdc repo up-all and down-all, with the agent's own handler over a model machine.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { RdcError } from '../../src/protocol/errors.ts';
import { FakeMachine } from '../helpers/fake-agent.ts';
import { runCli, temporaryDirectory } from '../helpers/run-cli.ts';

let configDir: string;
let machine: FakeMachine;

const rdc = (line: string) => runCli(line.split(' '), { configDir, machines: { box: machine } });
const states = () => machine.repos.map(({ name, state }) => `${name} ${state}`);

beforeEach(async () => {
  configDir = temporaryDirectory();
  machine = new FakeMachine();
  writeFileSync(join(configDir, 'id_ed25519'), '-----BEGIN OPENSSH PRIVATE KEY-----\n');
  await rdc('context create-local home --ssh-key ~/id_ed25519');
  await rdc('context add-machine box --ip 203.0.113.50 --user deploy');
  for (const name of ['api', 'blog', 'shop']) await rdc(`repo create ${name} --size 1G`);
});

describe('up-all', () => {
  test('opens and starts what is not up, each with a run of its own', async () => {
    await rdc('repo up blog');
    const { exitCode, stdout, stderr } = await rdc('repo up-all --parallel');
    expect(exitCode, stderr).toBe(0);
    expect(states()).toEqual(['api up', 'blog up', 'shop up']);
    expect(stdout.replaceAll(/ +\d+(\.\d+)?m?s/g, ' TIME')).toMatchInlineSnapshot(`
      "NAME  RESULT   SERVICES  TIME
      api   done     1 TIME
      blog  already                  it is up
      shop  done     1 TIME
      "
    `);
    expect(stderr).toContain('3 repositories on "box" are up');
    expect([...machine.runs.values()].map(({ operation }) => operation).slice(-3)).toEqual([
      'repo.up',
      'repo.up',
      'repo.up-all',
    ]);
  });

  test('what fails is told by name, and the others are up', async () => {
    machine.before = (operation, input) => {
      if (operation === 'repo.up' && input.repo === machine.repos[1]?.guid) {
        throw new RdcError('BUSY', 'repository "blog" is being changed by anna@desk: repo up since 3 s');
      }
    };
    const { exitCode, stdout, stderr } = await rdc('repo up-all');
    expect(exitCode).toBe(3);
    expect(states()).toEqual(['api up', 'blog closed', 'shop up']);
    expect(stdout).toMatch(/blog +failed .*repository "blog" is being changed by anna@desk/);
    expect(stderr).toContain('1 repository of 3 on "box" not up: blog (repository "blog" is being changed');
  });

  test('one without a credential is skipped, not asked for', async () => {
    machine.add('theirs', 'secret');
    const { exitCode, stdout } = await rdc('repo up-all --json');
    expect(exitCode).toBe(3);
    const { repositories } = JSON.parse(stdout);
    expect(repositories[3]).toEqual({
      ...{ name: 'theirs', guid: machine.repos[3]?.guid },
      ...{ result: 'skipped', reason: 'no credential', ms: 0 },
    });
  });

  test('none could be started: exit code 1', async () => {
    machine.failing = [];
    for (const repo of machine.repos) repo.keys = ['another'];
    const { exitCode, stdout } = await rdc('repo up-all --json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout).repositories.map(({ result }: { result: string }) => result)).toEqual([
      'failed',
      'failed',
      'failed',
    ]);
  });

  test('--mount-only opens and starts nothing; again, it says so', async () => {
    expect((await rdc('repo up-all --mount-only')).exitCode).toBe(0);
    expect(states()).toEqual(['api mounted', 'blog mounted', 'shop mounted']);
    const again = await rdc('repo up-all --mount-only');
    expect(again.stdout).toMatch(/api +already +it is open/);
    expect(again.stderr).toContain('= already: api: it is open');
  });

  test('--dry-run says what it would do and does nothing', async () => {
    await rdc('repo up api');
    const { exitCode, stdout } = await rdc('repo up-all --dry-run');
    expect(exitCode).toBe(0);
    expect(stdout).toBe('= "api" (already: it is up)\n+ start "blog"\n+ start "shop"\n');
    expect(states()).toEqual(['api up', 'blog closed', 'shop closed']);
  });

  test.each(['0', 'x', '2.5', '1000'])('--concurrency %s is refused before anything is reached', async (number) => {
    const { exitCode, stderr } = await rdc(`repo up-all --concurrency ${number}`);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--concurrency');
  });
});

describe('down-all', () => {
  test('stops all, the last one first; with --unmount it closes them', async () => {
    await rdc('repo up-all');
    expect((await rdc('repo down-all')).exitCode).toBe(0);
    expect(states()).toEqual(['api daemon', 'blog daemon', 'shop daemon']);
    const { stdout } = await rdc('repo down-all --unmount --json');
    expect(states()).toEqual(['api closed', 'blog closed', 'shop closed']);
    expect(JSON.parse(stdout).repositories.map(({ name }: { name: string }) => name)).toEqual(['shop', 'blog', 'api']);
  });
});
