// Power cuts under a Postgres that is written to: whatever it has acknowledged is there after the next start, whatever the disk
// had not written yet is gone. The tests of power-cut.test.ts, and of test/long/power-cut.test.ts, which has more cuts.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seeded } from '../helpers/seeded.ts';
import { startWriter } from './acknowledged-writer.ts';
import { startOnVolatileDisk, type VolatileMachine } from './volatile-machine.ts';

const COMPOSE = `services:
  db:
    image: postgres:16
    network_mode: host
    environment: { POSTGRES_HOST_AUTH_METHOD: trust }
    command: postgres -c listen_addresses=\${DB_IP} -c logging_collector=on -c log_directory=log
    volumes: ["data:/var/lib/postgresql/data"]
volumes: { data: {} }
`;
const REDIACCFILE = 'up() { renet compose -- up -d; renet wait db --timeout 300s; }\n';
/** A cut comes at most this long after the first rows, in milliseconds. */
const LONGEST_WRITING = 3000;
/** Lines of the kernel about filesystems and disks that are not in order. A journal that is played back is. */
const TROUBLE = 'EXT4-fs.*(error|warning)|JBD2.*(error|abort)|I/O error';

interface Status {
  networkId: number;
  image: string;
  mountPoint: string;
  services: { ip: string }[];
}

let machine: VolatileMachine;
let status: Status;
/** All that Postgres has ever acknowledged, recorded on this side. */
const acknowledged = new Set<number>();
let nextId = 1;

/** Registers the tests; the cut with number n has the seed `seed` + n. */
export function powerCuts({ cuts, seed }: { cuts: number; seed: number }): void {
  beforeAll(async () => {
    machine = await startOnVolatileDisk();
    const { vm, desk } = machine;
    expect(await vm.root('findmnt --noheadings --output SOURCE --target /mnt/rediacc')).toBe('/dev/vda');
    await desk.done('repo create shop --size 1G');
    await desk.done('repo mount shop');
    status = await desk.json<Status>('repo status shop');
    await vm.root(`cat >${status.mountPoint}/compose.yaml`, { input: COMPOSE });
    await vm.root(`cat >${status.mountPoint}/Rediaccfile`, { input: REDIACCFILE });
    await desk.done('repo up shop');
    status = await desk.json<Status>('repo status shop');
    await vm.root(inDatabase('sh -c', `'${READY}; ${PSQL} -c "create table orders (id bigint primary key)"'`));
  });
  afterAll(() => machine?.destroy());

  const seeds = Array.from({ length: cuts }, (_, index) => seed + index + 1);
  test.each(seeds)('power cut with seed %i: every acknowledged row is there', async (nth) => {
    const { written, missing } = await cutWhileWriting(`seed ${nth}`, seeded(nth));
    expect(missing, `seed ${nth}: of ${written.length} rows`).toEqual([]);
    const kernel = await machine.vm.root('dmesg');
    // The control of the look: there was something to tell of both filesystems, in these words.
    expect(kernel, `seed ${nth}`).toMatch(/EXT4-fs \(vda\): recovery complete/);
    expect(kernel, `seed ${nth}`).toMatch(/EXT4-fs \(dm-\d+\): recovery complete/);
    expect(kernel, `seed ${nth}`).not.toMatch(new RegExp(TROUBLE, 'i'));
    expect(await machine.vm.root('sort -u /sys/fs/ext4/*/errors_count'), `seed ${nth}`).toBe('0');
    const log = await machine.vm.root(inDatabase('sh -c', `'cd ${LOGS}; cat "$(ls | tail -1)"'`));
    expect(log, `seed ${nth}`).toMatch(/was not properly shut down; automatic recovery in progress/);
    expect(log, `seed ${nth}`).toMatch(/database system is ready to accept connections/);
    expect(log, `seed ${nth}`).not.toMatch(/PANIC|FATAL:(?! +the database system is)/);
  });

  test('the control: on a disk that lies about flushes, acknowledged rows are lost', async () => {
    machine.disk.lies = true;
    // Nothing spared: what is left is the disk as its last true flush made it, which is in order.
    const { written, missing } = await cutWhileWriting('the control');
    expect(written.length).toBeGreaterThan(0);
    expect(missing).toEqual(written);
    for (const id of missing) acknowledged.delete(id);
  });
}

/** For what the long test looks at after all cuts. */
export function cutMachine(): VolatileMachine & { image: string } {
  return { ...machine, image: status.image };
}

const LOGS = '/var/lib/postgresql/data/log';
const READY = 'until pg_isready -q -h $DB_IP -U postgres; do sleep 0.2; done';
const PSQL = 'psql -qAtX -v ON_ERROR_STOP=1 -h $DB_IP -U postgres';

/** A command in the container of Postgres. */
function inDatabase(program: string, argument: string): string {
  const docker = `docker -H unix:///run/rediacc/docker-${status.networkId}.sock`;
  return `${docker} exec -i -e DB_IP=${status.services[0]?.ip} shop-db-1 ${program} ${argument}`;
}

interface Outcome {
  /** Acknowledged before this cut, since the one before. */
  written: number[];
  /** Acknowledged at any time, and not there. */
  missing: number[];
}

/** Without `random` the cut comes at once and spares nothing. The disk is an honest one afterwards. */
async function cutWhileWriting(title: string, random?: () => number): Promise<Outcome> {
  const { vm, desk, disk } = machine;
  const writer = startWriter(vm, inDatabase('sh -c', `'exec ${PSQL}'`), nextId);
  await writer.until(10);
  if (random !== undefined) await sleep(random() * LONGEST_WRITING);
  const startedAt = performance.now();
  const { unflushed, lost } = await machine.powerCut(random);
  disk.lies = false;
  const written = await writer.ended;
  for (const id of written) acknowledged.add(id);
  await vm.start();
  const booted = performance.now();
  await desk.done('repo up shop');
  const rows = await vm.root(inDatabase('sh -c', `'${READY}; exec ${PSQL} -c "select id from orders"'`));
  const found = new Set(
    rows
      .split('\n')
      .filter((line) => line !== '')
      .map(Number),
  );
  const missing = [...acknowledged].filter((id) => !found.has(id));
  nextId = Math.max(0, ...acknowledged, ...found) + 1;
  const seconds = (from: number, to: number) => Math.round((to - from) / 1000);
  console.log(
    `${title}: ${written.length} rows acknowledged, ${acknowledged.size} in all, ${found.size} found, ${missing.length} missing; ` +
      `of ${unflushed} unflushed sectors ${lost} lost; boot ${seconds(startedAt, booted)} s, ` +
      `all ${seconds(startedAt, performance.now())} s`,
  );
  return { written, missing };
}
