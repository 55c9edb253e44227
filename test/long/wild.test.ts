// Compose projects as people have them (test/fixtures/wild), in two repositories at the same time: they start unchanged, and each
// answers for itself. Half of them are in each repository, and those that could be in each other's way in both, with the very
// same files. They come in parts, each in repositories of its own, so that a part can be run alone (-t "10-port-ranges to"). And compose
// itself is asked what it makes of files that our own reader was tried with.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exec } from '../../src/cli/playground/exec.ts';
import { agreementScript, parseAgreement } from '../helpers/compose-agreement.ts';
import { expectedOf, FIXTURES } from '../helpers/compose-fixtures.ts';
import { type CheckedRepo, checkScript } from '../helpers/wild-checks.ts';
import { layOut, SHAPES, type WildShape } from '../helpers/wild-shapes.ts';
import { type Desk, RDC } from '../machine/desk.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

/** In both: the same ports (TCP, UDP, ranges), addresses, names of projects and networks, a subnet and a bridge of one name. */
const TWICE = ['01-', '09-', '10-', '13-', '26-', '27-', '29-', '30-'];

interface Repo extends CheckedRepo {
  mountPoint: string;
}

let vm: TestVm;
let desk: Desk;
let files: string;

const isTwice = ({ name }: WildShape) => TWICE.some((start) => name.startsWith(start));
const PARTS = [0, 9, 18, 27].map((start) => SHAPES.slice(start, start + 9));
const status = (name: string) => desk.json<Repo>(`repo status ${name}`);

/** What each of the two repositories gets of a part. */
function shared(part: readonly WildShape[]): Record<'left' | 'right', readonly WildShape[]> {
  const alternating = part.filter((shape) => !isTwice(shape));
  const of = (side: number) => part.filter((shape) => isTwice(shape) || alternating.indexOf(shape) % 2 === side);
  return { left: of(0), right: of(1) };
}

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  files = await mkdtemp(join(tmpdir(), 'rdc-wild-'));
}, 900_000);
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
  if (files !== undefined) await rm(files, { recursive: true, force: true });
});

describe.each(PARTS.map((part) => ({ from: part.at(0)?.name, to: part.at(-1)?.name, part })))(
  '$from to $to, in two repositories',
  ({ part }) => {
    const shapes = shared(part);
    const sides = Object.entries(shapes);
    const has = (name: string) => part.some((shape) => shape.name === name);
    const wait = async (directory: string, services: string) => {
      const holder = shapes.left.some(({ name }) => name === directory) ? 'left' : 'right';
      const { mountPoint } = await status(holder);
      return vm.ssh('root', `cd ${mountPoint}/${directory} && renet wait ${services} --timeout 60s`);
    };

    beforeAll(async () => {
      for (const [name, own] of sides) {
        const directory = join(files, `${name}-${part[0]?.name}`);
        await layOut(own, directory);
        await desk.done(`repo create ${name} --size 700M`);
        await desk.done(`repo mount ${name}`);
        await desk.done(`sync upload -r ${name} --local ${directory}`);
      }
    }, 900_000);
    afterAll(async () => {
      for (const [name] of sides) {
        await desk.done(`repo down ${name} --unmount`, { timeoutMs: 900_000 });
        await desk.done(`repo delete ${name} --yes`);
      }
    }, 1_800_000);

    test('come up at the same time', async () => {
      await Promise.all(sides.map(([name]) => desk.done(`repo up ${name}`, { timeoutMs: 1_800_000 })));
    }, 1_800_000);

    test.each(sides)(
      'every service in "%s" answers, from the host and by its name, as its own',
      async (name, own) => {
        const script = checkScript(own, { repo: await status(name), mirror: vm.registryMirror });
        const said = await vm.root('bash', { input: script, timeoutMs: 900_000 });
        expect(said.split('\n').filter((line) => !line.startsWith('asked '))).toEqual([]);
        expect(Number(/^asked (\d+)$/m.exec(said)?.[1])).toBeGreaterThanOrEqual(2 * own.length);
      },
      1_200_000,
    );

    if (has('06-health-gate')) {
      test('renet wait: health, a listening port and a job that is done', async () => {
        expect(await wait('06-health-gate', 'db migrate web')).toMatchObject({ exitCode: 0 });
      });
    }

    if (has('30-restarts')) {
      test('renet wait: a job that failed, with the end of its log', async () => {
        const { exitCode, stderr } = await wait('30-restarts', 'once flaky broken');
        expect(exitCode).toBe(1);
        expect(stderr).toContain('service "broken" is not ready: it ended with exit code 4');
        expect(stderr).toContain('  | cannot open ledger.db');
      });
    }

    if (has('01-web-db-cache-worker')) {
      test('at a terminal, "repo compose -- exec" is one: its size, its keys, its end', terminal);
    }

    if (part === PARTS.at(-1)) {
      test('there is room for more networks than in the pools of docker itself', async () => {
        const { dockerSocket } = await status('left');
        const count = await vm.root(`export DOCKER_HOST=unix://${dockerSocket}
          count() { docker network ls --filter driver=bridge --quiet | wc -l; }
          for n in $(seq $(count) 33); do docker network create more-$n >/dev/null || exit; done; count`);
        expect(Number(count)).toBeGreaterThan(31);
      });

      test('a daemon starts where a killed one has left its numbers, which mean others now', async () => {
        const { guid, networkId } = await status('right');
        const unit = `rediacc-docker@${guid}.service`;
        const files = `/run/rediacc/${networkId}/docker.pid /run/rediacc/${networkId}/exec/containerd/containerd.pid`;
        // 1 is there in every namespace.
        await vm.root(
          `systemctl stop ${unit} && for file in ${files}; do echo 1 >$file || exit; done && systemctl start ${unit}`,
        );
        expect(await vm.root(`systemctl show --property=NRestarts --value ${unit}; grep -xc 1 ${files}; true`)).toBe(
          ['0', ...files.split(' ').map((file) => `${file}:0`)].join('\n'),
        );
      });
    }
  },
);

async function terminal(): Promise<void> {
  const place = join(desk.home, 'tty');
  const command = `${process.execPath} ${RDC} repo compose left --dir 01-web-db-cache-worker -- exec cache sh`;
  const child = spawn('script', ['-qefc', `tty >${place}; stty rows 33 columns 101; ${command}`, '/dev/null'], {
    env: {
      ...process.env,
      HOME: desk.home,
      XDG_CONFIG_HOME: join(desk.home, '.config'),
      TERM: 'xterm',
      SHELL: '/bin/sh',
    },
  });
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const shows = (text: string) => expect.poll(() => shown, { timeout: 120_000 }).toContain(text);
  await shows('/ # ');
  child.stdin.write('stty size\r');
  await shows('33 101');
  await exec(['stty', '-F', (await readFile(place, 'utf8')).trim(), 'rows', '40', 'columns', '120']);
  child.stdin.write('until stty size | grep "40 120"; do sleep 1; done; echo as"le"ep; sleep 600\r');
  await shows('40 120\r\n');
  await shows('asleep');
  child.stdin.write('\u0003');
  await expect.poll(() => shown.slice(shown.lastIndexOf('asleep')), { timeout: 120_000 }).toContain('/ # ');
  child.stdin.write('echo a"wa"ke; exit 7\r');
  await shows('awake');
  expect(await ended).toBe(7);
}

test('docker compose itself reads all files of our tests as they say it does', async () => {
  const names = readdirSync(FIXTURES);
  const packed = await exec(['sh', '-c', 'tar -czf - * | base64'], { cwd: FIXTURES });
  const unpack = `mkdir /tmp/fixtures && cd /tmp/fixtures && base64 -d <<'END' | tar -xzf - || exit\n${packed.stdout}\nEND\n`;
  const said = await vm.root('bash', { input: unpack + agreementScript(names), timeoutMs: 2_400_000 });
  const wanted = names.map((name) => {
    const { differs: _, ...answer } = expectedOf(name);
    return [name, answer] as const;
  });
  expect(parseAgreement(said)).toEqual(new Map(wanted));
}, 2_400_000);
