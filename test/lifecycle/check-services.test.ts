// What is told about a repository's files before anything runs: rule, file and line, and nothing where nothing is wrong.
import { describe, expect, it } from 'vitest';
import { checkServices } from '../../src/lifecycle/check-services.ts';
import { check, mount, rediaccfileIn, target } from '../helpers/compose-fixtures.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

/** "file:line rule", notes left out. */
async function told(files: Record<string, string>, directories: readonly string[] = ['']): Promise<string[]> {
  const { findings } = await check(files, directories);
  return findings
    .filter(({ severity }) => severity !== 'note')
    .map(({ file, line, rule, severity }) => `${severity} ${file}:${line} ${rule}`);
}

const web = (...lines: string[]) =>
  ['services:', '  web:', '    image: nginx', ...lines.map((line) => `    ${line}`)].join('\n');
const one = (...lines: string[]) => told({ 'compose.yml': web(...lines) });

describe('a service', () => {
  it('that does nothing strange is not told about', async () => {
    expect(await one('ports: ["8080:80"]', 'volumes: ["./data:/data", "db:/db"]', 'network_mode: bridge')).toEqual([]);
  });

  it.each([
    ['volumes: ["/var/run/docker.sock:/var/run/docker.sock"]', 'docker-socket'],
    ['volumes: [{type: bind, source: /run/docker.sock, target: /s}]', 'docker-socket'],
    ['volumes: ["/srv/data:/data"]', 'host-path'],
    ['volumes: ["~/data:/data"]', 'host-path'],
    ['volumes: ["../../data:/data"]', 'host-path'],
    ['volumes: [{type: bind, source: ../../x, target: /x}]', 'host-path'],
    ['volumes: ["/etc/localtime:/etc/localtime"]', 'host-path'],
    ['privileged: true', 'privileged'],
    ['pid: host', 'pid'],
    ['devices: ["/dev/kvm:/dev/kvm"]', 'devices'],
    ['cap_add: [SYS_ADMIN]', 'cap-add'],
    ['cap_add: [cap_net_admin]', 'cap-add'],
    ['ports: ["127.0.0.1:80:80"]', 'port-on-loopback'],
    ['ports: [{target: 80, published: 80, host_ip: 127.0.0.1}]', 'port-on-loopback'],
    ['ports: ["[::1]:80:80"]', 'port-on-loopback'],
  ])('with %s is told about', async (line, rule) => {
    expect(await one(line)).toEqual([`warning compose.yml:4 ${rule}`]);
  });

  it.each([
    'volumes: ["${REPOSITORY_PATH}/data:/data"]',
    `volumes: ["${mount}/data:/data"]`,
    'volumes: ["../other/data:/data"]',
    'volumes: ["$SET_BY_THE_REDIACCFILE:/data"]',
    'volumes: ["/etc/localtime:/etc/localtime:ro"]',
    'volumes: ["/var/lib/cache"]',
    'privileged: false',
    'cap_add: [NET_BIND_SERVICE]',
    'ports: ["80"]',
    'ports: ["0.0.0.0:80:80"]',
  ])('control: with %s in a directory is not', async (line) => {
    expect(await told({ 'a/compose.yml': web(line) }, ['a'])).toEqual([]);
  });

  it.each([
    ['pid: host', /every process of the repository/],
    ['volumes: ["/var/run/docker.sock:/var/run/docker.sock"]', /the repository's own docker here, not the host's/],
  ])('with %s is told what that means here (docs/decisions/0005)', async (line, words) => {
    const { findings } = await check({ 'compose.yml': web(line) });
    expect(findings.map(({ message }) => message)).toEqual([expect.stringMatching(words)]);
  });

  it('names a harmless bind all the same', async () => {
    const { findings } = await check({ 'compose.yml': web('volumes: ["/etc/localtime:/etc/localtime:ro"]') });
    expect(findings).toMatchObject([{ rule: 'host-path', severity: 'note', line: 4 }]);
  });

  it('in host mode that publishes is told about, and takes no port', async () => {
    const host = '  a: {image: x, network_mode: host, ports: ["80:80"]}\n';
    expect(await told({ 'compose.yml': `services:\n${host}  b: {image: x, ports: ["80:80"]}\n` })).toEqual([
      'warning compose.yml:2 host-mode-ports',
    ]);
  });

  it('without image and build is told about', async () => {
    expect(await told({ 'compose.yml': 'services:\n  a: {}\n' })).toEqual(['warning compose.yml:2 no-image']);
  });

  it('gets its warnings from what it extends, with the place where they stand', async () => {
    const files = {
      'compose.yml': 'services:\n  a:\n    extends: {file: b.yml, service: b}\n',
      'b.yml': web('privileged: true').replace('web', 'b'),
    };
    expect(await told(files)).toEqual(['warning b.yml:4 privileged']);
  });

  it('is spared what an override takes away', async () => {
    const files = {
      'compose.yml': web('privileged: true', 'cap_add: [ALL]'),
      'compose.override.yml': 'services:\n  web:\n    privileged: false\n    cap_add: !reset []\n',
    };
    expect(await told(files)).toEqual([]);
  });
});

describe('volumes of others', () => {
  it.each([
    ['volumes:\n  db:\n    external: true\n', 'external-volume'],
    ['volumes:\n  db:\n    driver_opts: {type: none, o: bind, device: /srv/db}\n', 'host-path'],
    ['secrets:\n  key:\n    file: /etc/shadow\n', 'host-path'],
  ])('%j is told about', async (text, rule) => {
    expect(await told({ 'compose.yml': text })).toEqual([expect.stringContaining(` ${rule}`)]);
  });
  it('control: an own volume is not', async () => {
    expect(await told({ 'compose.yml': 'volumes:\n  db:\n    external: false\nsecrets:\n  k: {file: ./k}\n' })).toEqual(
      [],
    );
  });
});

describe('the same port', () => {
  const two = (a: string, b: string, more = '') =>
    told({ 'compose.yml': `services:\n  a: {image: x, ports: ["${a}"]}\n  b: {image: x, ports: ["${b}"]${more}}\n` });

  it.each([
    ['80:80', '80:8080'],
    ['80:80', '0.0.0.0:80:80'],
    ['8000-8010:8000-8010', '8005:80'],
    ['53:53/udp', '53:53/udp'],
    ['127.0.11.2:80:80', '80:80'],
  ])('%s and %s is told about with both places', async (a, b) => {
    expect((await two(a, b)).filter((line) => line.includes('port-conflict'))).toEqual([
      'warning compose.yml:3 port-conflict',
    ]);
  });

  it.each([
    ['80:80', '81:80'],
    ['53:53/udp', '53:53/tcp'],
    ['127.0.11.2:80:80', '127.0.11.3:80:80'],
    ['8000-8010:80', '8000-8010:80'],
    ['80', '80'],
    ['${A_PORT}:80', '${B_PORT}:80'],
  ])('control: %s and %s is none', async (a, b) => expect(await two(a, b)).toEqual([]));

  it('is none for alternatives by profile', async () => {
    const service = (name: string) => `  ${name}: {image: x, ports: ["80:80"], profiles: [${name}]}\n`;
    expect(await told({ 'compose.yml': `services:\n${service('cpu')}${service('gpu')}` })).toEqual([]);
  });

  it('counts across directories', async () => {
    const files = {
      'a/compose.yml': web('ports: ["80:80"]'),
      'b/compose.yml': web('ports: ["80:80"]').replace('web', 'b'),
    };
    expect(await told(files, ['a', 'b'])).toEqual(['warning b/compose.yml:4 port-conflict']);
  });
});

describe('an address of a service that is told to a container on a bridge', () => {
  const db = '  db: {image: x}\n  cache: {image: x, network_mode: host}\n';
  const app = (...lines: string[]) => ({ 'compose.yml': `${web(...lines)}\n${db}` });

  it.each([
    'environment: ["DB_HOST=${DB_IP}"]',
    'environment: {DB_HOST: "${DB_IP:-none}"}',
    'environment: {DB_URL: "postgres://$DB_IP:5432/app"}',
    'environment: [DB_IP]',
    'environment: {DB_IP: }',
    'environment: {DB_HOST: 127.0.11.2}',
    'command: serve --db ${DB_IP}',
    'entrypoint: [serve, --db, "${DB_IP}:5432"]',
    'healthcheck: {test: [CMD, nc, "${WEB_IP}", "80"]}',
  ])('%s is told about', async (line) => {
    expect(await told(app(line))).toEqual(['warning compose.yml:4 service-address']);
  });

  it('names what to use instead', async () => {
    const { findings } = await check(app('environment: {A: "${DB_IP}", B: "${CACHE_IP}"}'));
    expect(findings.map(({ message }) => message)).toEqual([
      'service "web" is told DB_IP, which in its container is the container itself: use its name, "db"',
      expect.stringMatching(/told CACHE_IP, .*: use host\.docker\.internal, with extra_hosts: /),
    ]);
  });

  it.each([
    ['network_mode: host', 'environment: ["DB_HOST=${DB_IP}"]'],
    ['network_mode: "service:cache"', 'environment: ["DB_HOST=${DB_IP}"]'],
    ['ports: ["${WEB_IP}:80:80"]'],
    ['environment: {DB_HOST: db, ADMIN_IP: "${ADMIN_IP}", LISTEN: 127.0.0.1}'],
    ['environment: {PRICE: "$${DB_IP}"}'],
    ['labels: {proxy: "${DB_IP}"}'],
  ])('control: %s %s is none', async (...lines) => {
    expect(await told(app(...lines.filter((line) => line !== undefined)))).toEqual([]);
  });
});

describe('names', () => {
  it.each(['a.b', '1', '""', 'ß', '"a b"'])('%s makes no variable: an error', async (name) => {
    expect(await told({ 'compose.yml': `services:\n  ${name === '1' ? '"1"' : name}: {image: x}\n` })).toEqual([
      'error compose.yml:2 service-name',
    ]);
  });

  it('that share a variable are both named', async () => {
    const { findings } = await check({ 'compose.yml': 'services:\n  a-b: {image: x}\n  a_b: {image: x}\n' });
    expect(findings).toMatchObject([
      {
        rule: 'service-collision',
        line: 3,
        severity: 'error',
        message: expect.stringMatching(/"a-b" \(compose\.yml:2\) and "a_b"/),
      },
    ]);
  });

  it('in two directories are one service, told as a warning', async () => {
    const { findings, names } = await check({ 'a/compose.yml': web(), 'b/compose.yml': web() }, ['a', 'b']);
    expect(names).toEqual(['web']);
    expect(findings).toMatchObject([{ rule: 'shared-slot', file: 'b/compose.yml', line: 2 }]);
  });

  it('fit 61 times; the 62nd is named', async () => {
    const many = (count: number) =>
      `services:\n${Array.from({ length: count }, (_, n) => `  s${n}: {image: x}\n`).join('')}`;
    expect(await told({ 'compose.yml': many(61) })).toEqual([]);
    const { findings } = await check({ 'compose.yml': many(62) });
    expect(findings).toMatchObject([
      { rule: 'too-many-services', line: 63, message: expect.stringContaining('"s61"') },
    ]);
  });
});

describe('files outside the repository', () => {
  const include = (path: string) => `include: ["${path}"]\nservices:\n  a: {image: x}\n`;
  it.each(['/etc/compose.yml', '../../x.yml', '../../../../etc/x.yml'])(
    'include of %s is refused with its place',
    async (path) => {
      expect(await told({ 'a/compose.yml': include(path) }, ['a'])).toEqual(['error a/compose.yml:1 outside']);
    },
  );

  it('are refused for extends too, and by a link', async () => {
    const extend = 'services:\n  a:\n    extends: {file: ../../b.yml, service: b}\n';
    expect(await told({ 'a/compose.yml': extend }, ['a'])).toEqual(['error a/compose.yml:3 outside']);
    const system = new FakeSystem()
      .file(`${mount}/compose.yml`, include('link.yml'))
      .file(`${mount}/link.yml`, '/etc/passwd');
    const link = system.nodes.get(`${mount}/link.yml`);
    if (link !== undefined) link.kind = 'symlink';
    const { findings } = await checkServices(system, target, [rediaccfileIn('')], { services: {} });
    expect(findings).toMatchObject([{ rule: 'outside', severity: 'error', line: 1 }]);
  });

  it('control: of the root, from a directory, is read', async () => {
    expect(
      (await check({ 'a/compose.yml': include('../x.yml'), 'x.yml': 'services:\n  x: {image: x}\n' }, ['a'])).names,
    ).toEqual(['a', 'x']);
  });

  it.each(['https://example.com/c.yml', 'oci://docker.io/a/b', 'git@github.com:a/b.git', '${NOT_KNOWN}/c.yml'])(
    'fetched by compose (%s) are told as a warning',
    async (path) => expect(await told({ 'compose.yml': include(path) })).toEqual(['warning compose.yml:1 include']),
  );
});

describe('a Rediaccfile', () => {
  const line = async (code: string) => told({ Rediaccfile: `#!/bin/bash\nup() {\n  ${code}\n}\n` });
  it.each([
    'sudo docker compose up -d',
    'sudo -n docker ps',
    'cd x && sudo /usr/bin/docker ps',
    'sudo -u root docker ps',
    'sudo docker-compose up',
    'x=$(sudo docker ps)',
    'sudo \\\n    docker ps',
  ])('with %j is told about', async (code) => expect(await line(code)).toEqual(['warning Rediaccfile:3 sudo-docker']));
  it.each([
    'docker compose up',
    'sudo -E docker ps',
    'sudo -nE docker ps',
    'sudo --preserve-env docker ps',
    '# sudo docker ps',
    'sudo DOCKER_HOST="$DOCKER_HOST" docker ps',
    'sudo cat docker',
  ])('control: with %j is not', async (code) => expect(await line(code)).toEqual([]));
});
