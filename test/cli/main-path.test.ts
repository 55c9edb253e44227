// The commands of the page's complete example, typed verbatim, on a model machine.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { FakeMachine } from '../helpers/fake-agent.ts';
import { HOST_KEY, runCli, temporaryDirectory } from '../helpers/run-cli.ts';

let configDir: string;
let machine: FakeMachine;

beforeEach(() => {
  configDir = temporaryDirectory();
  machine = new FakeMachine();
  machine.setUp = false;
  writeFileSync(join(configDir, 'id_ed25519'), '-----BEGIN OPENSSH PRIVATE KEY-----\n');
});

async function rdc(line: string, extra: Partial<Parameters<typeof runCli>[1]> = {}) {
  const result = await runCli(line.split(' '), { configDir, machines: { 'prod-1': machine }, ...extra });
  if (result.exitCode !== 0) throw new Error(`"${line}" ended with ${result.exitCode}: ${result.stderr}`);
  return result;
}

describe('the page, verbatim', () => {
  test('from nothing to a running repository', async () => {
    await rdc('context create-local production --ssh-key ~/id_ed25519');
    const added = await rdc('context add-machine prod-1 --ip 203.0.113.50 --user deploy');
    expect(added.stderr).toContain(HOST_KEY.fingerprint);
    expect(added.stderr).toContain('trusted at first sight');
    await rdc('context setup-machine prod-1');
    expect(machine.settings).toEqual({ datastore: '/mnt/rediacc', sudoUser: 'deploy' });
    await rdc('repo create webapp -m prod-1 --size 10G');
    await rdc('repo mount webapp -m prod-1');
    const up = await rdc('repo up webapp -m prod-1');
    expect(up.stdout).toBe('SERVICE  ADDRESS     STATE\napi      127.0.11.2  running (healthy)\n');
    expect(up.stderr).toMatchInlineSnapshot(`
      "root up | Starting services...
      ✓ repo up 0.4s
      ✓ repository "webapp" is up on "prod-1"
      These addresses answer on the server itself; nothing is reachable from outside it yet.
      "
    `);
    expect(machine.repos[0]?.state).toBe('up');
    await rdc('repo down webapp -m prod-1 --unmount');
    expect(machine.repos[0]?.state).toBe('closed');
    await rdc('repo up webapp -m prod-1 --mount');
    const status = await rdc('repo status webapp --json');
    expect(status.json()).toMatchObject({ name: 'webapp', machine: 'prod-1', state: 'up' });
  });

  test('both files are for their owner alone, and only credentials.json has the secret', async () => {
    await rdc('context create-local production --ssh-key ~/id_ed25519');
    await rdc('context add-machine prod-1 --ip 203.0.113.50 --user deploy');
    machine.setUp = true;
    await rdc('repo create webapp --size 10G');
    const [config, credentials] = ['config.json', 'credentials.json'].map((name) => join(configDir, name));
    for (const path of [config, credentials]) expect(statSync(path ?? '').mode & 0o777).toBe(0o600);
    const secret = machine.repos[0]?.keys[0] ?? '';
    expect(secret).toMatch(/^[\w-]{43}$/);
    expect(readFileSync(credentials ?? '', 'utf8')).toContain(secret);
    expect(readFileSync(config ?? '', 'utf8')).not.toContain(secret);
  });
});
