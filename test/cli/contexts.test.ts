// Contexts and machine records: what the workstation knows, and whom it trusts.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';
import { HOST_KEY, runCli, temporaryDirectory } from '../helpers/run-cli.ts';

const TERMINAL = { stdin: true, stdout: true, stderr: true };
const OTHER_KEY = { type: 'ssh-rsa', key: 'ssh-rsa AAAAB3NzaC1yc2E=', fingerprint: 'SHA256:other' };

describe('create-local', () => {
  const create = async (content: string | undefined, argument = '~/key') => {
    const configDir = temporaryDirectory();
    if (content !== undefined) writeFileSync(join(configDir, 'key'), content);
    return { configDir, ...(await runCli(['context', 'create-local', 'p', '--ssh-key', argument], { configDir })) };
  };

  test('the key becomes an absolute path', async () => {
    const { configDir, exitCode } = await create('-----BEGIN OPENSSH PRIVATE KEY-----\n');
    expect(exitCode).toBe(0);
    const config = JSON.parse(readFileSync(join(configDir, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ current: 'p', contexts: { p: { sshKey: join(configDir, 'key') } } });
  });

  test.each([
    [undefined, 'does not exist', undefined],
    ['ssh-ed25519 AAAA anna@desk\n', 'is a public key', 'give the private one: --ssh-key'],
    ['PuTTY-User-Key-File-3: ssh-ed25519\n', 'is a PuTTY key', 'puttygen'],
    ['hello', 'is no private key', 'ssh-keygen -t ed25519'],
  ])('a key file with %j', async (content, message, hint) => {
    const { stderr, exitCode } = await create(content);
    expect(stderr).toContain(message);
    if (hint !== undefined) expect(stderr).toContain(hint);
    expect(exitCode).toBe(2);
  });

  test('the same again is no error, another key is', async () => {
    const { rdc, configDir } = workstation('m');
    writeFileSync(join(configDir, 'key'), '-----BEGIN RSA PRIVATE KEY-----\n');
    expect(await rdc('context create-local production')).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('= already'),
    });
    const other = await rdc('context create-local production --ssh-key key');
    expect(other).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('already, with other settings') });
  });
});

describe('which context', () => {
  test('use, current, list, --context', async () => {
    const { rdc, done } = workstation('m');
    await done('context create-local staging');
    expect((await done('context current')).stdout).toBe('production\n');
    await done('context use staging');
    expect((await done('context current --json')).json()).toEqual({ current: 'staging' });
    expect((await done('context list')).stdout).toBe(
      '   NAME        MACHINES  REPOSITORIES  SSH KEY\n   production  m         -             -\n*  staging     -         -             -\n',
    );
    expect((await rdc('repo list')).stderr).toContain('context "staging" has no machine');
    expect((await rdc('repo list --context production')).exitCode).toBe(0);
  });

  test('unknown: what is near, or what there is', async () => {
    const { rdc } = workstation('m');
    const near = await rdc('context use prodution');
    expect(near).toMatchObject({ exitCode: 10, stderr: expect.stringContaining('did you mean "production"?') });
    const far = await rdc('repo list --context zzz');
    expect(far).toMatchObject({ exitCode: 10, stderr: expect.stringContaining('known: production') });
  });

  test('delete asks where machines would be forgotten', async () => {
    const { rdc, done } = workstation('m');
    expect(await rdc('context delete production')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--yes'),
    });
    expect(await rdc('context delete production', { terminal: TERMINAL, answers: ['no'] })).toMatchObject({
      exitCode: 1,
    });
    await done('context delete production', { terminal: TERMINAL, answers: ['yes'] });
    expect(await rdc('context current')).toMatchObject({
      exitCode: 10,
      stderr: expect.stringContaining('there is no context yet'),
    });
  });

  test('a name that every object has is a name like any other', async () => {
    const { rdc, done } = workstation('m');
    expect(await rdc('context use constructor')).toMatchObject({ exitCode: 10 });
    await done('context create-local constructor');
    await done('context use constructor');
  });
});

describe('host keys', () => {
  const add = 'context add-machine new --ip 203.0.113.9 --user root';
  const pinned = (dir: string, name: string): string[] =>
    JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')).contexts.production.machines[name]?.hostKeys;

  test('on a terminal a person decides', async () => {
    const { rdc, done, configDir } = workstation('m');
    const refused = await rdc(add, { terminal: TERMINAL, answers: ['no'] });
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(HOST_KEY.fingerprint) });
    expect(pinned(configDir, 'new')).toBeUndefined();
    await done(add, { terminal: TERMINAL, answers: ['yes'] });
    expect(pinned(configDir, 'new')).toEqual([HOST_KEY.key]);
  });

  test('a fingerprint pins that key alone', async () => {
    const { done, configDir } = workstation('m');
    await done(`${add} --host-key ${HOST_KEY.fingerprint}`, { hostKeys: [OTHER_KEY, HOST_KEY] });
    expect(pinned(configDir, 'new')).toEqual([HOST_KEY.key]);
  });

  test('another fingerprint than expected: exit 4, nothing pinned', async () => {
    const { rdc, configDir } = workstation('m');
    const result = await rdc(`${add} --host-key SHA256:wrong`);
    expect(result).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('is the expected one') });
    expect(pinned(configDir, 'new')).toBeUndefined();
  });

  test('adding the same machine again looks at nothing, another one under its name is refused', async () => {
    const { rdc, done } = workstation('m');
    expect((await done('context add-machine m --ip 203.0.113.50 --user deploy')).stderr).toContain('= already');
    const other = await rdc('context add-machine m --ip 203.0.113.51 --user deploy');
    expect(other).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('rdc context remove-machine m') });
  });

  test('changed keys are pinned only on purpose', async () => {
    const { rdc, done, configDir } = workstation('m');
    const hostKeys = [OTHER_KEY];
    expect((await done('context scan-keys m')).stderr).toContain('= already');
    const script = await rdc('context scan-keys m', { hostKeys });
    expect(script).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('rdc context scan-keys m --accept-new'),
    });
    expect(await rdc('context scan-keys m', { hostKeys, terminal: TERMINAL, answers: ['no'] })).toMatchObject({
      exitCode: 1,
    });
    expect(pinned(configDir, 'm')).toEqual([HOST_KEY.key]);
    await done('context scan-keys m --accept-new', { hostKeys });
    expect(pinned(configDir, 'm')).toEqual([OTHER_KEY.key]);
  });
});

describe('which machine', () => {
  test.each([
    ['repo list -m prodd', 'there is no machine "prodd"', 'did you mean "prod"?'],
    ['repo create shop --size 1G', 'has more than one machine', '-m prod   (known: prod, test-1)'],
    ['repo up shop', 'knows no repository "shop"', 'say on which machine it is'],
    ['machine status nowhere', 'there is no machine "nowhere"', 'known: prod, test-1'],
  ])('%s', async (line, message, hint) => {
    const { stderr } = await workstation('prod', 'test-1').rdc(line);
    expect(stderr).toContain(message);
    expect(stderr).toContain(hint);
  });

  test('-m is not needed for a recorded repository, and decides between two of one name', async () => {
    const { rdc, done, machines } = workstation('prod', 'test-1');
    await done('repo create shop -m test-1 --size 1G');
    expect((await done('repo status shop --json')).json()).toMatchObject({ machine: 'test-1' });
    await done('repo create shop -m prod --size 1G');
    expect(await rdc('repo up shop')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('on "test-1" and "prod"'),
    });
    await done('repo up shop -m prod');
    expect(machines.prod?.repos[0]?.state).toBe('up');
    expect(machines['test-1']?.repos[0]?.state).toBe('closed');
  });

  test('a repository that the machine does not have is called by its name', async () => {
    const { rdc, done, machine } = workstation('prod');
    machine.add('shop', 'k'.repeat(20));
    expect(await rdc('repo status shpo')).toMatchObject({
      exitCode: 10,
      stderr: expect.stringContaining('did you mean "shop"?'),
    });
    await done('repo create blog --size 1G');
    machine.repos.pop();
    const gone = await rdc('repo down blog');
    expect(gone).toMatchObject({
      exitCode: 10,
      stderr: expect.stringContaining('there is no repository "blog" on machine "prod"'),
    });
  });

  test('remove-machine forgets its repositories too, after a question', async () => {
    const { rdc, done } = workstation('prod');
    await done('repo create shop --size 1G');
    expect(await rdc('context remove-machine prod')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('shop'),
    });
    await done('context remove-machine prod --yes');
    expect((await done('context show --json')).json()).toMatchObject({ machines: {}, repositories: {} });
  });
});
