// How long a fork takes on a pool, by size; and a fork of a Postgres that is written to all the while: it recovers, is
// consistent, and both answer on their own addresses at the same time.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Desk } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

const COMPOSE = `services:
  db:
    image: postgres:16
    network_mode: host
    environment: { POSTGRES_HOST_AUTH_METHOD: trust }
    command: ["postgres", "-c", "listen_addresses=\${DB_IP}"]
    volumes: ["data:/var/lib/postgresql/data"]
volumes: { data: {} }
`;

let vm: TestVm;
let desk: Desk;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await desk.done('context setup-machine box --datastore-size 12G --datastore-filesystem btrfs');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

interface Status {
  networkId: number;
  mountPoint: string;
  services: { ip: string }[];
}
const statusOf = (name: string) => desk.json<Status>(`repo status ${name}`);

test('1 GB and 10 GB, 300 MB of data in each: blocks are shared, and how long it took is told', async () => {
  const copies: Record<string, number> = {};
  for (const size of ['1G', '10G']) {
    await desk.done(`repo create big-${size} --size ${size}`);
    await desk.done(`repo mount big-${size}`);
    const { mountPoint } = await statusOf(`big-${size}`);
    await vm.root(`dd if=/dev/urandom of=${mountPoint}/data bs=1M count=300 conv=fsync status=none`, {
      timeoutMs: 900_000,
    });
    const started = performance.now();
    const { copy, frozenMs, run } = await desk.json<{ copy: string; frozenMs: number; run: string }>(
      `repo fork big-${size} --as fork-${size}`,
    );
    const totalMs = Math.round(performance.now() - started);
    const log = await desk.done(`run logs ${run}`);
    expect(copy).toBe('shared');
    copies[size] = totalMs;
    console.log(`fork of ${size}: ${totalMs} ms in all, frozen for ${frozenMs} ms\n${log}`);
    await desk.done(`repo delete fork-${size} --yes`);
    await desk.done(`repo delete big-${size} --yes`);
  }
  console.log(`10 GB against 1 GB: ${((copies['10G'] ?? 0) / (copies['1G'] ?? 1)).toFixed(2)}`);
});

test('a Postgres under write load', async () => {
  const files = join(desk.home, 'files/db');
  await mkdir(files, { recursive: true });
  await writeFile(join(files, 'docker-compose.yml'), COMPOSE);
  const up = 'up() { renet compose -- up -d; renet wait db --timeout 300s; }\ndown() { renet compose -- down; }\n';
  await writeFile(join(files, 'Rediaccfile'), up);
  await desk.done('repo create live --size 2G');
  await desk.done('repo mount live');
  await desk.done(`sync upload -r live --local ${desk.home}/files`);
  await desk.done('repo up live');
  const live = await statusOf('live');
  const psql = ({ networkId, services }: Status, query: string) =>
    vm.root(
      `docker -H unix:///run/rediacc/docker-${networkId}.sock exec $(docker -H unix:///run/rediacc/docker-${networkId}.sock ps -q) psql -h ${services[0]?.ip} -U postgres -tAc "${query}"`,
    );
  // Each transaction writes two rows: a copy between two moments would have one of them.
  await psql(live, 'create table pairs (n int, half int)');
  const insert =
    'insert into pairs select max(n) + 1, 1 from (select n from pairs union select 0) x; insert into pairs select max(n), 2 from pairs';
  const docker = `docker -H unix:///run/rediacc/docker-${live.networkId}.sock`;
  await vm.root(
    `C=$(${docker} ps -q); (while ! test -e /run/enough; do ${docker} exec $C psql -h ${live.services[0]?.ip} -U postgres -qc "begin; ${insert}; commit"; done) >/dev/null 2>&1 &`,
  );
  await vm.root(
    `until test "$(${docker} exec $(${docker} ps -q) psql -h ${live.services[0]?.ip} -U postgres -tAc 'select count(*) from pairs')" -gt 10; do sleep 1; done`,
  );
  const { frozenMs } = await desk.json<{ frozenMs: number }>('repo fork live --as try --up');
  console.log(`a Postgres under load: frozen for ${frozenMs} ms`);
  const fork = await statusOf('try');
  const counted = 'select count(*), count(distinct n), max(n) from pairs';
  const [rows, pairs, last] = (await psql(fork, counted)).split('|').map(Number);
  expect(rows).toBe(2 * (pairs ?? 0));
  expect(pairs).toBe(last);
  expect(pairs).toBeGreaterThan(5);
  const now = Number(await psql(live, 'select max(n) from pairs'));
  expect(now).toBeGreaterThan(last ?? 0);
  await psql(fork, 'insert into pairs values (0, 0)');
  expect(await psql(live, 'select count(*) from pairs where n = 0')).toBe('0');
  await vm.root('touch /run/enough');
});
