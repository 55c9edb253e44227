// up-all on a real machine with everything that may be wrong with a repository at once: what is in order comes up, what is
// not is told by name and reason, and once that is put right the same command does only what is missing.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

interface Row {
  name: string;
  result: string;
  reason?: string;
  ms: number;
}

/** What its root's Rediaccfile says; undefined: it has none. No containers: starting a docker daemon for each is enough. */
const REPOSITORIES: Readonly<Record<string, string | undefined>> = {
  bare: undefined,
  busy: 'up() { touch begun; until [ -e go ]; do sleep 1; done; }',
  failing: 'up() { echo no licence; return 7; }',
  good: 'up() { touch started; }',
  hanging: 'up() { sleep 4000; }',
  missing: 'up() { :; }',
  running: 'up() { touch started; }',
  wrong: 'up() { :; }',
};
const NAMES = Object.keys(REPOSITORIES);
/** An ordinary function takes a few seconds here, of which most are for its unit. */
const LIMIT = '60s';

let vm: TestVm;
let desk: Desk;
let right: string;
let busy: ReturnType<Desk['start']>;
const places = new Map<string, { guid: string; mountPoint: string; image: string }>();

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  for (const name of NAMES) {
    await desk.done(`repo create ${name} --size 100M`);
    await desk.done(`repo mount ${name}`);
  }
  const { repositories } = await desk.json<{ repositories: { name: string; guid: string }[] }>('repo list');
  for (const { name, guid } of repositories) {
    const mountPoint = `/mnt/rediacc/repos/${guid}`;
    places.set(name, { guid, mountPoint, image: `/mnt/rediacc/repositories/${guid}` });
    const text = REPOSITORIES[name];
    if (text !== undefined) await vm.root(`cat >${mountPoint}/Rediaccfile`, { input: `${text}\n` });
  }
  await desk.done('repo up running');
  await desk.done('repo unmount missing');
  await desk.done('repo unmount wrong');
  await vm.root(`mv ${place('missing').image} /mnt/rediacc/away`);
  right = await changeCredential('wrong', 'another one, and a wrong one');
  busy = desk.start('repo up busy');
  await vm.root(`until [ -e ${place('busy').mountPoint}/begun ]; do sleep 0.5; done`);
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

const place = (name: string) => places.get(name) ?? { guid: '', mountPoint: '', image: '' };
const states = async () => {
  const { repositories } = await desk.json<{ repositories: { name: string; state: string }[] }>('repo list');
  return Object.fromEntries(repositories.map(({ name, state }) => [name, state]));
};

/** Returns the one before. */
async function changeCredential(name: string, value: string): Promise<string> {
  const path = join(desk.home, '.config/rediacc/credentials.json');
  const file = JSON.parse(await readFile(path, 'utf8')) as { credentials: Record<string, { value: string }> };
  const stored = file.credentials[place(name).guid] ?? { value: '' };
  const before = stored.value;
  stored.value = value;
  await writeFile(path, JSON.stringify(file), { mode: 0o600 });
  return before;
}

test('whatever is wrong with seven, the eighth is up; each is told by name and reason, and the exit code is 3', async () => {
  const { exitCode, stdout, stderr } = await desk.rdc(`repo up-all --concurrency 4 --timeout ${LIMIT} --json`);
  expect(exitCode, stderr).toBe(3);
  const rows = (JSON.parse(stdout) as { repositories: Row[] }).repositories;
  expect(Object.fromEntries(rows.map(({ name, result, reason = '' }) => [name, `${result}: ${reason}`]))).toEqual({
    bare: 'done: ',
    busy: expect.stringMatching(/^failed: "busy" is being changed since .* by .*repo up/),
    failing: expect.stringMatching(/^failed: up\(\) of "failing" \(Rediaccfile\) failed: exit code 7/),
    good: 'done: ',
    hanging: expect.stringMatching(/^failed: up\(\) of "hanging" \(Rediaccfile\) failed: it ran longer than 60s/),
    missing: expect.stringMatching(/^failed: the image of repository "missing" is gone/),
    running: 'already: it is up',
    wrong: expect.stringMatching(/^failed: the credential does not open repository "wrong"/),
  });
  expect(await vm.root(`ls ${place('good').mountPoint}/started`)).toContain('started');
  expect(await states()).toMatchObject({ bare: 'up', good: 'up', running: 'up', failing: 'failed', hanging: 'failed' });
  // Nobody had to wait for the one that hangs.
  const took = (name: string) => rows.find((row) => row.name === name)?.ms ?? 0;
  expect(took('good')).toBeLessThan(took('hanging'));
});

test('put right, interrupted and repeated: only what is missing is done', async () => {
  await vm.root(`touch ${place('busy').mountPoint}/go; mv /mnt/rediacc/away ${place('missing').image}
    for at in ${['failing', 'hanging'].map((name) => place(name).mountPoint).join(' ')}; do echo 'up() { :; }' >$at/Rediaccfile; done`);
  await changeCredential('wrong', right);
  expect(await busy.ended, busy.said()).toBe(0);
  await vm.root(
    `echo 'up() { touch begun; until [ -e go ]; do sleep 1; done; }' >${place('hanging').mountPoint}/Rediaccfile`,
  );

  // One after the other, by name: "failing" is done when "hanging" is begun, and nothing after it is.
  const { child, said, ended } = desk.start('repo up-all');
  await vm.root(`until [ -e ${place('hanging').mountPoint}/begun ]; do sleep 0.5; done`);
  child.kill('SIGINT');
  expect(await ended, said()).toBe(130);
  const { runs } = await desk.json<{ runs: { run: string; operation: string; outcome: string }[] }>('run list');
  const whole = runs.find(({ operation, outcome }) => /up-all$/.test(operation) && outcome === 'running');
  await desk.done(`run cancel ${whole?.run ?? 'none'}`);
  expect(await states()).toMatchObject({ failing: 'up', missing: 'closed', wrong: 'closed' });

  await vm.root(`touch ${place('hanging').mountPoint}/go`);
  const { repositories } = await desk.json<{ repositories: Row[] }>('repo up-all --wait');
  const by = (result: string) => repositories.flatMap((row) => (row.result === result ? [row.name] : []));
  expect([by('done'), by('already')]).toEqual([
    ['hanging', 'missing', 'wrong'],
    ['bare', 'busy', 'failing', 'good', 'running'],
  ]);
});
