// Links that break: whatever is cut and when, who follows a run learns its true end, sees each line of it once, and no run is
// started twice.
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sshArgs } from '../../src/cli/playground/ssh.ts';
import type { Desk } from './desk.ts';
import { type LinkProxy, openLinkProxy } from './link-proxy.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const LINES = 12;
/** A line, and on with the next when the test says so by a file. "pace" makes each wait for its own. */
const TALKS = `up() { for n in $(seq 1 ${LINES}); do echo "line $n"; until [ ! -e pace ] || [ -e go-$n ]; do sleep 0.2; done; done; rm -f go-*; }\n`;

let vm: TestVm;
let desk: Desk;
let proxy: LinkProxy;
let mountPoint: string;
let otherWay: ChildProcess | undefined;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  proxy = await openLinkProxy({ host: vm.sshHost, port: vm.sshPort });
  await desk.done(`context add-machine far --ip 127.0.0.1 --user deploy --port ${proxy.port}`);
  await desk.done('repo create shop --size 100M -m box');
  await desk.done('repo mount shop -m box');
  ({ mountPoint } = await desk.json<{ mountPoint: string }>('repo status shop -m box'));
  await vm.root(`cat >${mountPoint}/Rediaccfile`, { input: TALKS });
});
afterAll(async () => {
  otherWay?.kill();
  await desk?.destroy();
  await vm?.destroy();
  await proxy?.close();
});

const runs = async () =>
  (await desk.json<{ runs: { run: string; operation: string; outcome: string }[] }>('run list -m box')).runs;
const linesIn = (text: string) => [...text.matchAll(/line (\d+)\b/g)].map(([, number]) => Number(number));
const ALL = Array.from({ length: LINES }, (_, index) => index + 1);
const ups = async () => (await runs()).filter(({ operation }) => /up$/.test(operation)).length;
const said = (text: () => string, wanted: string) => expect.poll(text, { timeout: 300_000 }).toContain(wanted);

test('cut at any moment of a command: the true end, or nothing was begun', async () => {
  proxy.limit(Number.POSITIVE_INFINITY);
  await desk.done('repo up shop -m far');
  const whole = proxy.sent();
  const ends: string[] = [];
  // Of what rdc says in all: in the middle of the login, just before the request, with it, and with its last byte.
  for (const part of [0.4, 0.8, 0.9, 1]) {
    const before = await ups();
    proxy.limit(Math.floor(whole * part));
    const { child, said: text, ended } = desk.start('repo up shop -m far');
    await expect
      .poll(() => proxy.sent() >= Math.floor(whole * part) || child.exitCode !== null, { timeout: 300_000 })
      .toBe(true);
    proxy.limit(Number.POSITIVE_INFINITY);
    const exitCode = await ended;
    const begun = (await ups()) - before;
    ends.push(`${exitCode}`);
    console.log(`cut after ${part} of ${whole} bytes: exit code ${exitCode}, ${begun} begun`);
    if (exitCode === 0) expect([linesIn(text()), begun], text()).toEqual([ALL, 1]);
    else expect([exitCode, begun], text()).toEqual([5, 0]);
  }
  // Control: some were cut before the request, and some after it.
  expect([...new Set(ends)].sort()).toEqual(['0', '5']);
});

test('cut again and again while it talks, once from another address: no line is lost or repeated', async () => {
  await vm.root(`touch ${mountPoint}/pace`);
  const taken = proxy.taken();
  const { said: text, ended } = desk.start('repo up shop -m far');
  const go = (from: number, to: number) =>
    vm.root(`cd ${mountPoint}; for n in $(seq ${from} ${to}); do touch go-$n; done`);
  await said(text, 'line 1');
  proxy.cut();
  await go(1, 4);
  await said(text, 'line 5');
  // Through the machine's own loopback: to sshd the client is somebody else now.
  const port = await freePort();
  const extra = ['-o', 'BatchMode=yes', '-o', 'ExitOnForwardFailure=yes', '-N', '-L', `127.0.0.1:${port}:127.0.0.1:22`];
  otherWay = spawn('ssh', sshArgs(vm, 'deploy', extra), { stdio: 'ignore' });
  proxy.lead({ host: '127.0.0.1', port });
  proxy.cut();
  await go(5, 8);
  await said(text, 'line 9');
  proxy.cut();
  await go(9, LINES);
  expect(await ended, text()).toBe(0);
  expect(linesIn(text())).toEqual(ALL);
  // Control: it was cut three times, and came from two addresses.
  expect(proxy.taken() - taken).toBeGreaterThanOrEqual(4);
  const accepted = await vm.root(
    "journalctl -b --no-pager -o cat -t sshd -t sshd-session | grep '^Accepted.*for deploy'",
  );
  expect(accepted).toMatch(/from 127\.0\.0\.1 /);
  expect(accepted).toMatch(/from 10\.0\.2\.2 /);
  const [last] = await runs();
  expect(last?.outcome).toBe('done');
  expect(linesIn(await desk.done(`run logs ${last?.run} -m box`))).toEqual(ALL);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
