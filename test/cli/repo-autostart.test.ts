// rdc repo autostart, on a model machine.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { FakeMachine } from '../helpers/fake-agent.ts';
import { type CliWorld, runCli, temporaryDirectory } from '../helpers/run-cli.ts';

let configDir: string;
let machine: FakeMachine;

const rdc = (line: string, more: Partial<CliWorld> = {}) =>
  runCli(line.split(' '), { configDir, machines: { 'server-1': machine }, ...more });
const marked = () => machine.repos.filter(({ autostart }) => autostart).map(({ name }) => name);

beforeEach(async () => {
  configDir = temporaryDirectory();
  machine = new FakeMachine();
  writeFileSync(join(configDir, 'id_ed25519'), '-----BEGIN OPENSSH PRIVATE KEY-----\n');
  await rdc('context create-local home --ssh-key ~/id_ed25519');
  await rdc('context add-machine server-1 --ip 203.0.113.50 --user deploy');
  for (const name of ['my-app', 'shop']) await rdc(`repo create ${name} -m server-1 --size 1G`);
});

test('enable tells that a key lies on the server; again it is already so; disable takes it away', async () => {
  const first = await rdc('repo autostart enable my-app -m server-1');
  expect(first.exitCode, first.stderr).toBe(0);
  expect(first.stderr).toContain('a key for it now lies on that machine');
  expect(marked()).toEqual(['my-app']);
  expect((await rdc('repo autostart enable my-app')).stderr).toContain('= already');
  const last = await rdc('repo autostart disable my-app -m server-1');
  expect(last.stderr).toContain('its key is gone from there');
  expect(marked()).toEqual([]);
});

test('enable-all: all whose credential is here, the others by name and exit code 3', async () => {
  machine.add('theirs', 'secret');
  const { exitCode, stderr } = await rdc('repo autostart enable-all -m server-1');
  expect(exitCode).toBe(3);
  expect(marked()).toEqual(['my-app', 'shop']);
  expect(stderr).toContain('theirs: the credential of "theirs" is not known here');
  machine.repos.pop();
  const again = await rdc('repo autostart enable-all -m server-1 --json');
  expect(again.exitCode).toBe(0);
  expect(JSON.parse(again.stdout).repositories).toEqual([
    { name: 'my-app', result: 'already' },
    { name: 'shop', result: 'already' },
  ]);
});

test('the credential is asked for where this workstation does not hold it, and not kept', async () => {
  machine.add('theirs', 'a secret of theirs');
  const enable = 'repo autostart enable theirs -m server-1';
  expect(await rdc(enable)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('is not known here') });
  const asked = await rdc(enable, {
    terminal: { stdin: true, stdout: true, stderr: true },
    answers: ['a secret of theirs'],
  });
  expect(asked.exitCode, asked.stderr).toBe(0);
  expect(marked()).toEqual(['theirs']);
  expect(readFileSync(join(configDir, 'credentials.json'), 'utf8')).not.toContain('a secret of theirs');
});

test('list shows what is on and how the last boot went', async () => {
  await rdc('repo autostart enable shop');
  machine.lastBoot = {
    result: 'failed',
    reason: 'prep() of "shop" failed: exit code 1',
    ms: 4200,
    at: 1_700_000_000_000,
  };
  const { stdout } = await rdc('repo autostart list -m server-1');
  expect(stdout).toMatch(/my-app +off +closed\n/);
  expect(stdout).toMatch(/shop +on +closed +failed 20.* \(4\.2s\) +prep\(\) of "shop" failed: exit code 1/);
  const json = JSON.parse((await rdc('repo autostart list --json')).stdout);
  expect(json.repositories.map(({ enabled }: { enabled: boolean }) => enabled)).toEqual([false, true]);
});

test('a wrong credential: exit code 12, nothing marked', async () => {
  for (const repo of machine.repos) repo.keys = ['another'];
  expect((await rdc('repo autostart enable shop')).exitCode).toBe(12);
  expect(marked()).toEqual([]);
});

test('enable-all with --detach names the runs and promises nothing', async () => {
  await rdc('repo create loose --size 1G');
  const { stderr } = await rdc('repo autostart enable-all --detach');
  expect(stderr).toMatch(/loose: detached as run [0-9a-f-]+/);
  expect(stderr).not.toContain('start when it boots');
});
