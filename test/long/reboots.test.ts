// Reboots in a row: each time everything that is marked is back by itself, and nothing had to be recovered. REBOOTS=3 npm run
// test:long -- test/long/reboots.test.ts for fewer than 20.
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  answeredAfter,
  type BootRepository,
  makeRepositories,
  NOTED_DOWN,
  RECOVERIES,
  SLOW_END,
  untilAnswers,
} from '../machine/boot-repositories.ts';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

const REBOOTS = Number(process.env.REBOOTS ?? 20);
const FILES = { rediaccfile: `up() { renet compose -- up -d; }\n${NOTED_DOWN}`, compose: SLOW_END };

let vm: TestVm;
let desk: Desk;
let repositories: BootRepository[];

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  repositories = await makeRepositories({ vm, desk }, { one: FILES, two: FILES, three: FILES });
  await desk.done('repo up-all');
  await desk.done('repo autostart enable-all');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test.each(Array.from({ length: REBOOTS }, (_, index) => index + 1))(
  'reboot %i: all are back, each after a down() and a clean end',
  async (nth) => {
    await vm.reboot();
    const seconds = await answeredAfter(
      vm,
      repositories.map((repo) => untilAnswers(repo)),
    );
    console.log(`reboot ${nth}: ${seconds} s from the start of the kernel to the last service answering`);
    for (const { mountPoint } of repositories) {
      expect(await vm.root(`cd ${mountPoint}/data && wc -l < downs && wc -l < ended`)).toBe(`${nth}\n${nth}`);
    }
    expect(await vm.root(RECOVERIES)).toBe('');
    const before = await vm.root("journalctl -b -1 --no-pager -o cat -u 'rediacc-*@*'");
    // A daemon whose first start is too slow for its containerd, among others on one processor, is started once more.
    const ending = before.slice(before.indexOf('Stopping rediacc-repo@'));
    expect(ending).toMatch(/root down: done/);
    expect(ending).not.toMatch(/timed out|Failed with result/);
  },
);
