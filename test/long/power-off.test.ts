// A power-off in the middle of an up(), and a boot after it at which one of three is in order and its registry comes late: what
// is broken is told by name and stops nobody.
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type AutostartList,
  answeredAfter,
  type BootRepository,
  makeRepositories,
  NEEDS_REGISTRY,
  NOTED_DOWN,
  RECOVERIES,
  SLOW_END,
  untilAnswers,
} from '../machine/boot-repositories.ts';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

/** Once, where "hold" is there, its prep() never ends. */
const HOLDS = 'prep() { if test -e hold; then rm hold; sleep infinity; fi; }\nup() { renet compose -- up -d; }\n';

let vm: TestVm;
let desk: Desk;
let data: BootRepository;
let gone: BootRepository;
let web: BootRepository;

const count = (repo: BootRepository, file: string) =>
  vm.root(`cat ${repo.mountPoint}/data/${file} 2>/dev/null | wc -l`).then(Number);

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  [data, gone, web] = (await makeRepositories(
    { vm, desk },
    {
      data: { rediaccfile: HOLDS + NOTED_DOWN, compose: SLOW_END },
      gone: { rediaccfile: HOLDS + NOTED_DOWN, compose: SLOW_END },
      web: { rediaccfile: NEEDS_REGISTRY + NOTED_DOWN, compose: SLOW_END },
    },
  )) as [BootRepository, BootRepository, BootRepository];
  await desk.done('repo up-all');
  await desk.done('repo autostart enable-all');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test('a power-off in the middle of an up(): everything ends in order, and the run says why it ended', async () => {
  await vm.root(`mv /mnt/rediacc/repositories/${gone.guid} /mnt/rediacc/taken-away
    systemctl disable --quiet docker-registry
    touch ${data.mountPoint}/hold`);
  const up = desk.start('repo up data');
  // Not before: an up with the credential mends the key.
  await vm.root(`while test -e ${data.mountPoint}/hold; do sleep 0.5; done
    head -c 256 /dev/urandom > /mnt/rediacc/.credentials/keys/${data.guid}.key`);
  expect(await vm.stop(600_000)).toMatchObject({ clean: true });
  await vm.start();
  await up.ended;
  expect(up.said()).toMatch(/the machine is going down/);
  const units = `-u 'rediacc-*@${data.guid}.service' -u 'rediacc-*@${web.guid}.service'`;
  const log = await vm.root(`journalctl -b -1 --no-pager -o cat ${units}`);
  expect(log).toMatch(/root down: done/);
  expect(log).not.toMatch(/timed out|Failed with result/);
});

test('a prep() that needs the network is called again; broken ones are told and stop nobody', async () => {
  const told = () => vm.root('journalctl -b --no-pager -o cat -u rediacc-autostart');
  while (!/"web" is tried again/.test(await told())) await vm.root('sleep 1');
  // The control: it is the registry that it waits for.
  expect((await vm.ssh('root', `nc -z -w 5 ${web.address} 8080`)).exitCode).not.toBe(0);
  await vm.root('systemctl start docker-registry');
  await answeredAfter(vm, [untilAnswers(web)]);
  while (!/the start of the marked repositories: partial/.test(await told())) await vm.root('sleep 1');
  const { repositories } = await desk.json<AutostartList>('repo autostart list');
  const noKey = 'the machine\'s own key does not open repository "data" any more';
  expect(repositories).toMatchObject([
    { name: 'data', lastBoot: { result: 'failed', reason: noKey } },
    { name: 'gone', lastBoot: { result: 'failed', reason: expect.stringMatching(/image/) } },
    { name: 'web', lastBoot: { result: 'done' } },
  ]);
  expect(await told()).toMatch(noKey);
  expect(await told()).toMatch(/gone: failed.*image/);
  expect(await count(web, 'downs')).toBe(1);
  expect(await vm.root(RECOVERIES)).toBe('');
});

test('who has the credential mends the key with the next up', async () => {
  const { stderr } = await desk.rdc('repo up data', { timeoutMs: 900_000 });
  expect(stderr).toMatch(/did not fit and was renewed/);
  expect(await count(data, 'downs')).toBe(1);
  const paths = `/mnt/rediacc/.credentials/keys/${data.guid}.key /mnt/rediacc/repositories/${data.guid}`;
  await vm.root(`cryptsetup open --test-passphrase --key-slot 1 -d ${paths}`);
});
