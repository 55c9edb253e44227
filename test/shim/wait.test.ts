// `renet wait`, with a docker that tells what the test says and listening sockets that are real.
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ShimWorld } from './shim-world.ts';

let world: ShimWorld;
const servers: Server[] = [];
beforeEach(async () => {
  world = await ShimWorld.create();
  await world.file('compose.yaml', 'services: {}\n');
  await world.answer('logs', 'echo "said by $4"; for n in {1..30}; do echo "line $n" >&2; done | tail -n 3');
});
afterEach(async () => {
  await world.remove();
  for (const server of servers.splice(0)) server.close();
});

interface Container {
  service?: string;
  status?: string;
  code?: number;
  restarts?: number;
  addresses?: string;
  network?: string;
  health?: string;
  ports?: string;
}

/** One list of containers for each look, the last one for all that follow. */
async function containers(...looks: Container[][]): Promise<void> {
  const lines = looks.map((list) =>
    list.map((one, index) => {
      const { service = 'web', status = 'running', code = 0, restarts = 0, addresses = '' } = one;
      const { network = 'bridge', health = '-', ports = '' } = one;
      return `id${index} ${service} ${status} ${code} ${restarts} -${addresses} ${network} ${health} ${ports}`;
    }),
  );
  const count = 'look=$(($(cat "$FAKE_DIR/looks" 2>/dev/null || echo 0)))';
  const cases = (of: (list: string[]) => string) =>
    lines.map((list, index) => `${index === lines.length - 1 ? '*' : index}) ${of(list)} ;;`).join('\n');
  const say = (words: string[]) => words.map((word) => `echo '${word}'`).join('; ') || ':';
  await world.answer(
    'ps',
    `${count}\ncase $look in\n${cases((list) => say(list.map((line) => line.split(' ')[0] ?? '')))}\nesac\nif [[ $look -eq 0 && -n '${lines[0]?.length === 0 ? 'x' : ''}' ]]; then echo 1 >"$FAKE_DIR/looks"; fi\nexit 0`,
  );
  await world.answer(
    'inspect',
    `${count}\ncase $look in\n${cases(say)}\nesac\necho $((look + 1)) >"$FAKE_DIR/looks"\nexit 0`,
  );
}

async function listen(host: string): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const wait = (...words: string[]) => world.run(['wait', ...words]);

describe('a service is ready', () => {
  test('when it is healthy, also later', async () => {
    await containers([], [{ health: 'starting' }], [{ health: 'unhealthy' }], [{ health: 'healthy' }]);
    const { exitCode, stderr } = await wait('web', '--timeout', '20s');
    expect([exitCode, stderr]).toEqual([0, '']);
  });

  test('when it has ended with 0', async () => {
    await containers([
      { service: 'migrate', status: 'exited' },
      { service: 'other', status: 'exited', code: 9 },
    ]);
    expect((await wait('migrate')).exitCode).toBe(0);
  });

  test('in the namespace: when it listens on its own address', async () => {
    await listen('127.0.11.4');
    await containers([{ network: 'host', ports: '1/tcp,' }]);
    expect((await wait('web', '--timeout', '1s')).exitCode).toBe(0);
    const elsewhere = await wait('api', '--timeout', '300ms');
    expect(elsewhere.exitCode).toBe(1);
  });

  test('in the namespace: when a port that its image exposes listens on all addresses', async () => {
    const port = await listen('0.0.0.0');
    await containers([{ network: 'host', ports: `7/udp,${port}/tcp,` }]);
    expect((await wait('web', '--timeout', '1s')).exitCode).toBe(0);
    await containers([{ network: 'host', ports: '1/tcp,' }]);
    expect((await wait('web', '--timeout', '300ms')).stderr).toContain('listens neither on its own address');
  });

  test('on a bridge: when any port that it exposes takes a connection', async () => {
    const port = await listen('127.0.11.4');
    await containers([{ addresses: '127.0.11.5,127.0.11.4,', ports: `7/udp,${port}/tcp,` }]);
    expect((await wait('web', '--timeout', '3s')).exitCode).toBe(0);
    await containers([{ addresses: '127.0.11.5,', ports: `7/udp,${port}/tcp,` }]);
    expect((await wait('web', '--timeout', '300ms')).exitCode).toBe(1);
  });

  test('when all containers of it are', async () => {
    await containers([{ health: 'healthy' }, { health: 'starting' }], [{ health: 'healthy' }, { health: 'healthy' }]);
    expect((await wait('web', '--timeout', '20s')).exitCode).toBe(0);
    await containers([{ health: 'healthy' }, { health: 'starting' }]);
    expect((await wait('web', '--timeout', '300ms')).exitCode).toBe(1);
  });
});

describe('it fails', () => {
  test('at once where a container has ended with another code, with its last lines', async () => {
    await containers([
      { service: 'api', health: 'healthy' },
      { status: 'exited', code: 3 },
    ]);
    const { exitCode, stderr, calls } = await wait('api', 'web', '--timeout', '1h');
    expect(exitCode).toBe(1);
    expect(stderr.split('\n').slice(0, 3)).toEqual([
      'renet: service "web" is not ready: it ended with exit code 3',
      '  the last lines of its log:',
      '  | said by id1',
    ]);
    expect(calls.at(-1)?.args).toEqual(['logs', '--tail', '20', 'id1']);
  });

  test.each([
    [[], 'it has no container'],
    [[{ status: 'restarting', code: 2, restarts: 5 }], 'it restarts again and again (5 times, last exit code 2)'],
    [[{ health: 'unhealthy' }], 'its health check says "unhealthy"'],
    [[{ status: 'created' }], 'it is created'],
    [[{ restarts: 2 }], 'names takes a connection, after 2 restarts'],
  ] as [Container[], string][])('after the time: %j', async (list, reason) => {
    await containers(list);
    const started = Date.now();
    const { exitCode, stderr } = await wait('web', '--timeout=700ms');
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`service "web" is not ready within 0.700 s: `);
    expect(stderr).toContain(reason);
    expect(Date.now() - started).toBeGreaterThanOrEqual(690);
  });

  test('with what docker says where it does not answer', async () => {
    await world.answer('ps', "echo 'Cannot connect to the Docker daemon' >&2; exit 1");
    const { exitCode, stderr } = await wait('web', '--timeout', '300ms');
    expect([exitCode, stderr]).toEqual([
      1,
      'renet: service "web" is not ready within 0.300 s: docker does not answer: Cannot connect to the Docker daemon\n',
    ]);
  });

  test.each([
    [[], 'which service?'],
    [['web', '--timeout', 'soon'], 'no duration'],
    [['web', '--timeout'], 'no duration'],
    [['web', '--timeout', '1d'], 'no duration'],
    [['--fast', 'web'], 'unknown option'],
    [['a;b'], 'no legal name'],
  ])('%j is a usage error', async (words, reason) => {
    const { exitCode, stderr, calls } = await wait(...words);
    expect([exitCode, calls]).toEqual([2, []]);
    expect(stderr).toContain(reason);
  });
});

test('it looks at the project of the directory, or at the one that is named', async () => {
  await containers([{ health: 'healthy' }]);
  const projectOf = async (cwd: string, ...words: string[]) =>
    (await world.run(['wait', 'web', ...words], { cwd })).calls.find(({ args }) => args[0] === 'ps')?.args[5];
  expect(await projectOf('')).toBe('label=com.docker.compose.project=shop');
  expect(await projectOf('', '-p', 'other')).toBe('label=com.docker.compose.project=other');
  await world.file('compose.yaml', 'name: author\nservices: {}\n');
  await world.answer(
    'config',
    (await readFile('test/fixtures/shim/shop.config.yaml', 'utf8')).replace('shop', '"au-thor"'),
  );
  expect(await projectOf('')).toBe('label=com.docker.compose.project=au-thor');
});
