// Compose projects as people have them (test/fixtures/wild), all in one repository and some in a second one at the same time,
// with the very same files: they start unchanged and each answers for itself. And compose itself is asked what it
// makes of files that our own reader was tried with.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exec } from '../../src/cli/playground/exec.ts';
import { agreementScript, parseAgreement, REPRESENTATIVE } from '../helpers/compose-agreement.ts';
import { expectedOf, FIXTURES } from '../helpers/compose-fixtures.ts';
import { type CheckedRepo, checkScript } from '../helpers/wild-checks.ts';
import { layOut, SHAPES, type WildShape } from '../helpers/wild-shapes.ts';
import { type Desk, openDesk } from './desk.ts';
import { startTestVm, type TestVm } from './vm.ts';

/** What a second repository with the same files could disturb: ports, names, fixed addresses, the namespace itself. */
const TWICE = ['01-', '06-', '09-', '10-', '12-', '13-', '26-', '27-', '29-', '30-'];

interface Repo extends CheckedRepo {
  mountPoint: string;
}

let vm: TestVm;
let desk: Desk;
let files: string;

const shapesOf = (name: string): readonly WildShape[] =>
  name === 'all' ? SHAPES : SHAPES.filter((shape) => TWICE.some((start) => shape.name.startsWith(start)));
const status = (name: string) => desk.json<Repo>(`repo status ${name}`);

beforeAll(async () => {
  vm = await startTestVm();
  desk = await openDesk(vm);
  files = await mkdtemp(join(tmpdir(), 'rdc-wild-'));
  await desk.done('context create-local home --ssh-key ~/.ssh/id_ed25519');
  await desk.done(`context add-machine box --ip ${vm.sshHost} --user deploy --port ${vm.sshPort}`);
  await desk.done(`context setup-machine box --registry-mirror ${vm.registryMirror}`);
  for (const name of ['all', 'some']) {
    await layOut(shapesOf(name), join(files, name));
    await desk.done(`repo create ${name} --size 700M`);
    await desk.done(`repo mount ${name}`);
    await desk.done(`sync upload -r ${name} --local ${join(files, name)}`);
  }
}, 900_000);
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
  if (files !== undefined) await rm(files, { recursive: true, force: true });
});

describe('two repositories with the same files', () => {
  test('come up at the same time', async () => {
    await Promise.all(['all', 'some'].map((name) => desk.done(`repo up ${name}`, { timeoutMs: 1_800_000 })));
  }, 1_800_000);

  test.each(['all', 'some'])(
    'every service of "%s" answers, from the host and by its name, as its own',
    async (name) => {
      const script = checkScript(shapesOf(name), { repo: await status(name), mirror: vm.registryMirror });
      const said = await vm.root('bash', { input: script, timeoutMs: 900_000 });
      expect(said.split('\n').filter((line) => !line.startsWith('asked '))).toEqual([]);
      expect(Number(/^asked (\d+)$/m.exec(said)?.[1])).toBeGreaterThanOrEqual(2 * shapesOf(name).length);
    },
    1_200_000,
  );

  test('there are more networks than the pools of docker itself have', async () => {
    const { dockerSocket } = await status('all');
    const count = await vm.root(`docker -H unix://${dockerSocket} network ls --filter driver=bridge --quiet | wc -l`);
    expect(Number(count)).toBeGreaterThan(31);
  });
});

describe('renet wait', () => {
  const wait = async (directory: string, services: string) => {
    const { mountPoint } = await status('some');
    return vm.ssh('root', `cd ${mountPoint}/${directory} && renet wait ${services} --timeout 60s`);
  };

  test('health, a listening port and a job that is done', async () => {
    expect(await wait('06-health-gate', 'db migrate web')).toMatchObject({ exitCode: 0 });
  });

  test('a job that failed, with the end of its log', async () => {
    const { exitCode, stderr } = await wait('30-restarts', 'once flaky broken');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('service "broken" is not ready: it ended with exit code 4');
    expect(stderr).toContain('  | cannot open ledger.db');
  });
});

test('docker compose itself reads the files of our tests as they say it does', async () => {
  const { stdout } = await exec(['sh', '-c', 'tar -czf - "$@" | base64', 'sh', ...REPRESENTATIVE], { cwd: FIXTURES });
  const unpack = `mkdir /tmp/fixtures && cd /tmp/fixtures && base64 -d <<'END' | tar -xzf - || exit\n${stdout}\nEND\n`;
  const said = await vm.root('bash', { input: unpack + agreementScript(REPRESENTATIVE) });
  const wanted = REPRESENTATIVE.map((name) => {
    const { differs: _, ...answer } = expectedOf(name);
    return [name, answer] as const;
  });
  expect(parseAgreement(said)).toEqual(new Map(wanted));
});
