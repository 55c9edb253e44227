// Another build of the agent arrives: while a run goes on, and one that does not start.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Desk, RDC } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

let vm: TestVm;
let desk: Desk;
let mountPoint: string;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await desk.done('repo create shop --size 100M');
  await desk.done('repo mount shop');
  ({ mountPoint } = await desk.json<{ mountPoint: string }>('repo status shop'));
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

/** This build with one more line at the start of its agent. Returns the path of its rdc. */
async function anotherBuild(name: string, line: string): Promise<string> {
  const dist = join(desk.home, name);
  await cp(join(dirname(RDC), '..'), dist, { recursive: true });
  await writeFile(join(dist, 'renet.mjs'), `${line}\n${await readFile(join(dist, 'renet.mjs'), 'utf8')}`);
  return join(dist, 'rdc/main.js');
}

const agentPid = () => vm.root('systemctl show --property MainPID --value rediacc-agent');
const current = () => vm.root('readlink /usr/lib/rediacc/current');
const status = async (program: string) => {
  const { exitCode, stdout, stderr } = await desk.rdc('repo status shop --json', { program });
  expect(exitCode, stderr).toBe(0);
  return { said: stderr, ...(JSON.parse(stdout) as { state: string }) };
};

test('while a run goes on: nothing of it is disturbed, and the new one takes over when it has ended', async () => {
  await vm.root(`cat >${mountPoint}/Rediaccfile`, {
    input: 'up() { echo begun; touch begun; until [ -e go ]; do sleep 1; done; echo ended; }\n',
  });
  const program = await anotherBuild('second', '// the second build');
  const [pid, before] = [await agentPid(), await current()];
  const { said, ended } = desk.start('repo up shop');
  await vm.root(`until [ -e ${mountPoint}/begun ]; do sleep 0.5; done`);

  expect((await status(program)).said).toContain('takes over when its runs have ended');
  expect(await current()).not.toBe(before);
  // A second setup brings it as well, and waits for nobody either.
  const setUp = await desk.rdc('context setup-machine box', { program: await anotherBuild('third', '// the third') });
  expect(setUp.exitCode, setUp.stderr).toBe(0);
  expect(await agentPid()).toBe(pid);

  await vm.root(`touch ${mountPoint}/go`);
  expect(await ended, said()).toBe(0);
  expect(said()).toContain('ended');
  await vm.root(
    `until p=$(systemctl show --property MainPID --value rediacc-agent); [ $p != ${pid} ] && [ $p != 0 ]; do sleep 0.5; done`,
  );
  const { runs } = await desk.json<{ runs: { operation: string; outcome: string }[] }>('run list');
  expect(runs.find(({ operation }) => operation === 'repo.up')?.outcome).toBe('done');
});

test('what an upgrade that was cut off has not put in place, the agent does when it starts', async () => {
  const kill =
    'systemctl kill --signal=KILL rediacc-agent; until systemctl is-active -q rediacc-agent; do sleep 0.2; done';
  const size = () => vm.root('wc -c </usr/lib/rediacc/docker-init');
  const whole = await size();
  await vm.root(`cd /usr/lib/rediacc; : >units-under-way; echo half >docker-init; ${kill}`);
  await desk.done('repo status shop');
  expect([await size(), await vm.root('ls /usr/lib/rediacc | grep -c under-way || true')]).toEqual([whole, '0']);
});

test('one that does not start gives way to the one before it, which says so', async () => {
  // What the desk carries itself is in place again.
  await desk.done('repo status shop');
  const before = await current();
  const broken = await anotherBuild(
    'broken',
    "if (process.argv[2] === 'daemon') { console.error('broken on purpose'); process.exit(1); }",
  );
  const first = await status(broken);
  expect(first.state).toBe('up');
  expect(first.said).toMatch(/replacing the agent/);
  expect(first.said).toMatch(/does not start on "box"; the one before it, .*, was put back and serves/);
  expect(await current()).toBe(before);
  // Control: it was there, and was started.
  expect(await vm.root("journalctl -b --no-pager -o cat -u rediacc-agent | grep -c 'broken on purpose'")).toBe('2');
  // It is not brought again.
  expect((await status(broken)).said).not.toContain('replacing');
  expect((await desk.rdc('machine doctor box')).stdout).toContain('did not start, and gave way');

  const mended = await anotherBuild('mended', '// the mended one');
  expect((await status(mended)).said).not.toContain('does not start');
  expect(await current()).not.toBe(before);
  expect((await desk.rdc('machine doctor box', { program: mended })).stdout).not.toContain('gave way');
});
