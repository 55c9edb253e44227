// A full volume and a full datastore on a real machine: what is refused and in which words, the ways out, and that nothing is
// damaged on the way. What is asked of the filesystem and when is in test/agent (open-volume, repo-rescue, datastore-watch).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatSize } from '../../src/protocol/size.ts';
import type { Desk } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const MIB = 1024 ** 2;
const REDIACCFILE = `up() { renet compose up -d; }
down() { renet compose down --timeout 1; }
`;
const COMPOSE = `services:
  web: { image: busybox, network_mode: host, command: sleep 100000 }
`;
const RECORD = '/var/lib/rediacc/supervision.json';

interface Status {
  guid: string;
  mountPoint: string;
  image: string;
  state: string;
  reserveBytes?: number;
  space?: { usedPercent: number; level: string; totalInodes: number };
  datastore: { level: string; totalInodes: number };
}
interface Machine {
  datastore: { level: string; freeBytes: number; reserveBytes: number };
  supervision: { events: { kind: string; message: string; repo?: string }[]; attention?: { reason: string } };
}

let vm: TestVm;
let desk: Desk;
let mountPoint: string;

const status = (name: string) => desk.json<Status>(`repo status ${name}`);
const machine = () => desk.json<Machine>('machine status');
const containers = () => vm.root("pgrep -f 'sleep 10000[0]' | wc -l");
/** Until the supervisor has noted it. */
const noted = (words: string) =>
  vm.root(`for i in $(seq 240); do grep -q '${words}' ${RECORD} && exit 0; sleep 0.5; done; cat ${RECORD}; exit 1`, {
    timeoutMs: 200_000,
  });
const eventWith = (words: string, { supervision }: Machine) =>
  supervision.events.find(({ message }) => message.includes(words));
/** Fills the datastore until root can write so many bytes: ext4 keeps 4096 blocks for nobody. Prints what is left then. */
const ROOM = 'set -- $(stat -f -c "%f %S" /mnt/rediacc); echo $((($1 - 4096) * $2))';
const fillUpTo = async (leftBytes: number, file: string) =>
  Number(
    await vm.root(
      `free=$(${ROOM}); fallocate -l $((free - ${leftBytes})) /mnt/rediacc/${file} && sync -f /mnt/rediacc; ${ROOM}`,
    ),
  );

async function refused(line: string, ...words: string[]): Promise<void> {
  const { exitCode, stderr } = await desk.rdc(line);
  expect([exitCode, stderr], line).toEqual([13, expect.any(String)]);
  for (const word of words) expect(stderr, line).toContain(word);
}

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await desk.done('repo create shop --size 150M');
  await desk.done('repo mount shop');
  ({ mountPoint } = await status('shop'));
  await vm.root(`cat >${mountPoint}/Rediaccfile`, { input: REDIACCFILE });
  await vm.root(`cat >${mountPoint}/compose.yaml`, { input: COMPOSE });
  await desk.done('repo up shop');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

test('a full volume: refused, rescued, up again, and the reserve is back once there is room', async () => {
  const before = await status('shop');
  expect(before).toMatchObject({ space: { level: 'ok' }, datastore: { level: 'ok' } });
  expect(before.space?.totalInodes).toBe(Number(await vm.root(`stat -f -c %c ${mountPoint}`)));
  expect(before.datastore.totalInodes).toBe(Number(await vm.root('stat -f -c %c /mnt/rediacc')));
  expect(before.reserveBytes).toBeGreaterThan(4 * MIB);
  const filled = await vm.ssh('root', `dd if=/dev/zero of=${mountPoint}/filling bs=64k`);
  expect(filled.stderr).toContain('No space left');
  expect(await status('shop')).toMatchObject({ state: 'up', space: { usedPercent: 100, level: 'critical' } });

  // What is up stays up.
  await refused('repo up shop', 'the volume of repository "shop" is full', 'rdc repo rescue shop');
  expect(await containers()).toBe('1');
  // Docker may be unable to note all of it, so it may end as partly done.
  expect([0, 3]).toContain((await desk.rdc('repo down shop --unmount')).exitCode);
  expect((await status('shop')).state).toBe('closed');
  await refused('repo up shop', 'the volume of repository "shop" is full', 'rdc repo rescue shop');

  const rescue = await desk.rdc('repo rescue shop');
  expect([rescue.exitCode, rescue.stderr]).toEqual([0, expect.stringContaining('rdc repo resize shop --size 256M')]);
  expect(rescue.stdout).toMatch(/^\d+(\.\d)?M +filling$/m);
  await desk.done('repo up shop');
  expect(await containers()).toBe('1');
  expect((await status('shop')).reserveBytes).toBe(0);

  await vm.root(`rm ${mountPoint}/filling && sync -f ${mountPoint}`);
  await desk.done('repo up shop');
  expect((await status('shop')).reserveBytes).toBeGreaterThan(4 * MIB);
});

test('a preallocated one has all its space, and gives none of it back', async () => {
  await desk.done('repo create kept --size 80M --preallocate');
  const [kept, shop] = [await status('kept'), await status('shop')];
  const blocks = `stat -c %b ${kept.image}`;
  expect(Number(await vm.root(blocks)) * 512).toBeGreaterThanOrEqual(80 * MIB);
  await desk.done('repo mount kept');
  const discard = async (guid: string) =>
    Number(
      await vm.root(`cat /sys/block/$(basename $(readlink -f /dev/mapper/rediacc-${guid}))/queue/discard_max_bytes`),
    );
  expect(await discard(kept.guid)).toBe(0);
  // Control.
  expect(await discard(shop.guid)).toBeGreaterThan(0);
  await vm.root(`cd ${kept.mountPoint} && head -c 30000000 /dev/zero >file && sync -f . && rm file && sync -f .`);
  await desk.done('repo unmount kept');
  expect(Number(await vm.root(`sync ${kept.image}; ${blocks}`)) * 512).toBeGreaterThanOrEqual(80 * MIB);
  await refused('repo create big --size 900G --preallocate', '"big"');
});

test('a full datastore: the reserve is given up and that is told; what is closed stays closed, until there is room', async () => {
  // An image as a crash leaves it: a file that was acknowledged is in the journal of its filesystem only.
  await desk.done('repo create other --size 192M');
  await desk.done('repo mount other');
  const other = await status('other');
  const crash = `echo paid >acknowledged; sync -f .; sync ${other.image}; cp --preserve=mode --sparse=always ${other.image} /mnt/rediacc/crashed`;
  await vm.root(`cd ${other.mountPoint}; ${crash}`);
  await desk.done('repo unmount other');
  await vm.root(`mv /mnt/rediacc/crashed ${other.image}`);
  const sum = await vm.root(`sha256sum ${other.image}`);

  const calm = (await machine()).datastore;
  expect([calm.level, formatSize(calm.reserveBytes)]).toEqual(['ok', '256M']);
  const left = await fillUpTo(32 * MIB, 'filling');
  // Control: it really is full but for the reserve, or but for what the agent has given up of it by now.
  expect(
    [32, 288].some((size) => Math.abs(left - size * MIB) < 8 * MIB),
    String(left),
  ).toBe(true);
  await noted('was given up');
  const told = await machine();
  expect(told.datastore).toMatchObject({ level: 'critical', reserveBytes: 0 });
  expect(told.supervision.attention?.reason).toContain('its reserve of 256M was given up');
  const event = eventWith('was given up', told);
  expect([event?.kind, event?.repo]).toEqual(['needs-attention', undefined]);

  // Its journal may hold 16 MiB, and nobody knows how much of them needs new blocks.
  await fillUpTo(72 * MIB, 'more');
  await refused('repo mount other', '"other" was not closed', '80M must be free', 'rdc machine status');
  await fillUpTo(24 * MIB, 'most');
  await refused('repo up other', 'the datastore /mnt/rediacc is full', '64M are needed', 'rdc machine status');
  expect(await vm.root(`sha256sum ${other.image}; losetup -n -O NAME -j ${other.image}`)).toBe(sum);
  await noted('it has no reserve');
  expect(eventWith('it has no reserve', await machine())?.kind).toBe('failed');
  expect((await status('shop')).state).toBe('up');
  expect(await containers()).toBe('1');
  // One that has its space already is opened all the same.
  await desk.done('repo mount kept');
  expect((await status('kept')).state).toBe('mounted');

  await vm.root('rm /mnt/rediacc/filling /mnt/rediacc/more /mnt/rediacc/most; sync -f /mnt/rediacc');
  await noted('has room again');
  const after = await machine();
  expect(after.supervision.attention).toBeUndefined();
  expect([after.datastore.level, formatSize(after.datastore.reserveBytes)]).toEqual(['ok', '256M']);
  await desk.done('repo mount other');
  expect(await vm.root(`cat ${other.mountPoint}/acknowledged`)).toBe('paid');
  expect(await vm.root('dmesg | grep -iE "ext4-fs error|I/O error|Data will be lost" || true')).toBe('');
});

test('not a byte left below an open sparse volume: no write is acknowledged that is lost, the damage is told, and what was written before is there', async () => {
  const other = await status('other');
  await fillUpTo(0, 'all');
  await expect.poll(async () => (await machine()).datastore.reserveBytes, { timeout: 120_000 }).toBe(0);
  await fillUpTo(0, 'and-the-reserve');
  const written = `cd ${other.mountPoint}; dd if=/dev/urandom of=lost bs=1M count=60 conv=fsync`;
  // Control: it is the missing room that fails.
  expect((await vm.ssh('root', written)).exitCode).not.toBe(0);
  expect((await machine()).datastore.level).toBe('critical');
  const doctor = await desk.rdc('machine doctor box');
  expect(doctor.exitCode).toBe(1);
  const told = doctor.stdout.includes('"other": ');

  await vm.root('rm /mnt/rediacc/all /mnt/rediacc/and-the-reserve; sync -f /mnt/rediacc');
  await desk.done('repo down other --unmount');
  await desk.done('repo mount other');
  expect(await vm.root(`cat ${other.mountPoint}/acknowledged`)).toBe('paid');
  await desk.done('repo unmount other');
  const credential = (await desk.done('repo credential show other --reveal')).trim();
  await vm.root(`cryptsetup open --readonly --key-file - ${other.image} check`, { input: credential });
  const check = await vm.ssh('root', 'e2fsck -f -n /dev/mapper/check');
  await vm.root('cryptsetup close check');
  expect(check.exitCode === 0 || told, check.stdout).toBe(true);
  await desk.done('repo mount other');
  await vm.root(written);
});
