// The example's API, against a real PostgreSQL and a real Redis on loopback ports.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, freePort, type Service, startService } from '../helpers/service.ts';

const API = new URL('../../examples/plain-compose/api/', import.meta.url);
const PASSWORD = 'change/me: ß';
const HOST = '127.0.0.1';

let directory: string;
let ports: { postgres: number; redis: number; api: number };
let postgres: Service | undefined;
let redis: Service | undefined;
let api: Service | undefined;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rdc-api-'));
  chmodSync(directory, 0o755);
  ports = { postgres: await freePort(), redis: await freePort(), api: await freePort() };
  initDatabase();
  api = await startApi();
  await eventually(async () => (await get('/health')).status);
});

afterAll(async () => {
  await Promise.all([api?.stop(), postgres?.stop('SIGINT'), redis?.stop()]);
  rmSync(directory, { recursive: true, force: true });
});

describe('before the databases run', () => {
  it('says so and keeps trying', async () => {
    expect((await get('/health')).status).toBe(503);
    expect((await get('/')).status).toBe(503);
    postgres = await startPostgres();
    redis = await startRedis();
    await eventually(async () => ((await get('/health')).status === 200 ? true : undefined));
    expect(api?.output()).toContain('waiting for the databases: connect ECONNREFUSED');
  });
});

describe('with both databases', () => {
  it('answers with a row and a counter', async () => {
    expect((await get('/')).body).toEqual({ message: 'Hello from PostgreSQL', visits: 1 });
    expect((await get('/')).body).toEqual({ message: 'Hello from PostgreSQL', visits: 2 });
  });

  it.each(['plain', "it's; DROP TABLE notes; --", 'Größe 🚲 "x" \\', 'n'.repeat(60_000)])(
    'keeps notes',
    async (text) => {
      const { status, body } = await post('/notes', JSON.stringify({ text }));
      expect([status, body]).toEqual([201, { id: expect.stringMatching(/^\d+$/), text }]);
      const notes = (await get('/notes')).body as { text: string }[];
      expect(notes.at(-1)?.text).toBe(text);
    },
  );

  it.each([
    [400, 'not JSON'],
    [400, '{}'],
    [400, 'null'],
    [400, '{"text": 5}'],
    [400, '{"text": "zero \\u0000 byte"}'],
    [413, JSON.stringify({ text: 'x'.repeat(70_000) })],
  ])('answers %i to a wrong body', async (status, body) => {
    expect((await post('/notes', body)).status).toBe(status);
  });

  it('knows its paths and methods', async () => {
    expect((await get('/nowhere')).status).toBe(404);
    expect((await get('/?x=1')).status).toBe(200);
    expect((await post('/health', '')).status).toBe(405);
  });

  it('counts every one of many requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => get('/')));
    const visits = answers.map(({ body }) => (body as { visits: number }).visits);
    expect(new Set(visits).size).toBe(40);
  });

  it('finds its way back when a database was restarted', async () => {
    await Promise.all([postgres?.stop('SIGINT'), redis?.stop()]);
    await eventually(async () => ((await get('/health')).status === 503 ? true : undefined));
    postgres = await startPostgres();
    redis = await startRedis();
    await eventually(async () => ((await get('/health')).status === 200 ? true : undefined));
    const { body } = await get('/');
    expect(body).toEqual({ message: 'Hello from PostgreSQL', visits: 44 });
  });

  it('tells a wrong password', async () => {
    const { createPostgres } = (await import(new URL('postgres.js', API).href)) as PostgresModule;
    const database = createPostgres(`postgresql://app:wrong@${HOST}:${ports.postgres}/webapp`);
    await expect(database.query('SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    database.close();
  });

  it('ends at once when asked to', async () => {
    const startedAt = Date.now();
    expect(await api?.stop('SIGTERM')).toBe(0);
    expect(Date.now() - startedAt).toBeLessThan(4000);
    api = undefined;
  });
});

describe('readReply', () => {
  it.each([
    ['+OK\r\n', 'OK', 5],
    [':42\r\n+', 42, 5],
    ['$5\r\na\r\nbc\r\n', 'a\r\nbc', 11],
    ['$-1\r\n', null, 5],
  ])('reads %j', async (text, value, end) => {
    const { readReply } = (await import(new URL('redis.js', API).href)) as RedisModule;
    expect(readReply(Buffer.from(text))).toEqual({ value, end });
  });

  it.each(['', ':4', '$5\r\nab', '$5\r\nabcde\r'])('waits for the rest of %j', async (text) => {
    const { readReply } = (await import(new URL('redis.js', API).href)) as RedisModule;
    expect(readReply(Buffer.from(text))).toBeUndefined();
  });
});

interface PostgresModule {
  createPostgres(url: string): { query(sql: string): Promise<unknown>; close(): void };
}

interface RedisModule {
  readReply(bytes: Buffer): { value: unknown; end: number } | undefined;
}

async function get(path: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`http://${HOST}:${ports.api}${path}`);
  return { status: response.status, body: await response.json() };
}

async function post(path: string, body: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`http://${HOST}:${ports.api}${path}`, { method: 'POST', body });
  return { status: response.status, body: await response.json() };
}

function startApi(): Promise<Service> {
  return startService([process.execPath, 'server.js'], {
    cwd: API.pathname,
    env: {
      DATABASE_URL: `postgresql://app:${encodeURIComponent(PASSWORD)}@${HOST}:${ports.postgres}/webapp`,
      REDIS_URL: `redis://:${encodeURIComponent(PASSWORD)}@${HOST}:${ports.redis}`,
      LISTEN_ADDR: `${HOST}:${ports.api}`,
    },
  });
}

function startRedis(): Promise<Service> {
  const args = ['--bind', HOST, '--port', String(ports.redis), '--appendonly', 'yes', '--requirepass', PASSWORD];
  return startService(['redis-server', ...args], { cwd: directory });
}

/** A database whose only way in is SCRAM-SHA-256 with the password. */
function initDatabase(): void {
  const data = join(directory, 'postgres');
  mkdirSync(data, { mode: 0o700 });
  const password = join(directory, 'password');
  writeFileSync(password, PASSWORD, { mode: 0o644 });
  const [asPostgres, ...rest] = asPostgresUser(data);
  execFileSync(asPostgres, [
    ...[...rest, pgProgram('initdb'), '-D', data, '--username=app', '--auth=scram-sha-256', `--pwfile=${password}`],
    ...['--no-sync', '--encoding=UTF8', '--locale=C.UTF-8'],
  ]);
  const create = 'CREATE DATABASE webapp\n';
  execFileSync(asPostgres, [...rest, pgProgram('postgres'), '--single', '-D', data, 'postgres'], {
    input: create,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
}

function startPostgres(): Promise<Service> {
  const data = join(directory, 'postgres');
  const settings = { listen_addresses: HOST, port: ports.postgres, unix_socket_directories: '', fsync: 'off' };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return startService([...asPostgresUser(data), pgProgram('postgres'), '-D', data, ...options]);
}

/** PostgreSQL refuses to run as root. */
function asPostgresUser(data: string): [string, ...string[]] {
  if (process.getuid?.() !== 0) return ['env'];
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  chownSync(data, id('-u'), id('-g'));
  return ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--'];
}

/** Debian keeps the programs of each version apart. */
function pgProgram(name: string): string {
  const root = '/usr/lib/postgresql';
  const newest = readdirSync(root).sort((a, b) => Number(b) - Number(a))[0] ?? '';
  return join(root, newest, 'bin', name);
}
