// Every rule of Rediaccfiles, on a real machine: what is found, in which order it is called, what a failure means, what
// a function has, and that no odd or hostile file crashes, hangs, or runs half without a word. docs/rediaccfile.md
// names the tests of this file by their titles.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BEHAVIOUR,
  BROKEN,
  MANUAL_SLOTS,
  manyServices,
  NOTING,
  ODD_NAMES,
  ORDINARY,
  type RepositoryFiles,
} from '../fixtures/rediaccfile/files.ts';
import type { Desk } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

interface Ran {
  exitCode: number;
  stderr: string;
  /** The document of --json. */
  told: {
    run: string;
    outcome: string;
    failed: { where: string; reason: string }[];
    error: { code: string; message: string };
    findings: { file: string; line?: number; rule: string; severity: string; message: string }[];
  };
}

interface OutputEvent {
  at: number;
  event: { kind: string; source: string; text: string; partial?: true; raw?: string };
}

/** Longest time of a function where one never ends: emulated and among others, an ordinary one takes up to ten seconds. */
const LIMIT = '30s';
/** In the environment of a function by systemd (systemd.exec(5)), by bash, and by the test's own function. */
const FOREIGN = /^(INVOCATION_ID|JOURNAL_STREAM|MEMORY_PRESSURE_.*|SYSTEMD_EXEC_PID|USER|SHLVL|PWD|_|LEFT)$/;

let vm: TestVm;
let desk: Desk;
let guid: string;
let mountPoint: string;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await desk.done('repo create rules --size 150M');
  await desk.done('repo mount rules');
  ({ guid, mountPoint } = await desk.json<{ guid: string; mountPoint: string }>('repo status rules'));
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

async function ran(line: string): Promise<Ran> {
  const { exitCode, stdout, stderr } = await desk.rdc(`${line} --json`);
  return { exitCode, stderr, told: JSON.parse(stdout) };
}

const WRITE = `my $mount = shift; while (<STDIN>) { my ($path, $text) = map { pack "H*", $_ } split; my $at = $mount;
  my @parts = split m{/}, $path; my $file = pop @parts; for (@parts) { $at .= "/$_"; mkdir $at }
  open my $out, ">", "$at/$file" or die "$path: $!"; print $out $text // ""; close $out or die "$path: $!" }`;

/** Straight into the mount, also what no upload would bring. */
async function put(files: RepositoryFiles): Promise<void> {
  const hex = (words: string | Buffer) => Buffer.from(words as string).toString('hex');
  const input = Object.entries(files).map(([path, text]) => `${hex(path)} ${hex(text)}\n`);
  await vm.root(['perl', '-e', WRITE, mountPoint], { input: input.join('') });
}

/** Only these files, and no trace of what was called before. */
async function replaceBy(files: RepositoryFiles): Promise<void> {
  await vm.root(`find ${mountPoint} -mindepth 1 -maxdepth 1 ! -name .rediacc ! -name lost+found -exec rm -rf {} +`);
  await put(files);
}

/** Which functions were called, in order: "prep", "up /a". */
async function called(): Promise<string[]> {
  const text = await vm.root(`cat ${mountPoint}/trace 2>/dev/null; true`);
  return text.split('\n').filter((line) => line !== '');
}

/** What stands behind "SOURCE | ". */
function said(stderr: string, source: string): string[] {
  const start = `${source} | `;
  return stderr.split('\n').flatMap((line) => (line.startsWith(start) ? [line.slice(start.length)] : []));
}

describe('one up of everything', () => {
  let up: Ran;
  let calls: string[];
  let events: OutputEvent[];
  const eventsOf = (source: string) => events.filter(({ event }) => event.source === source);
  const failed = (where: string) => up.told.failed.find((one) => one.where === where)?.reason;

  beforeAll(async () => {
    await replaceBy({
      ...ORDINARY,
      ...ODD_NAMES.files,
      ...BEHAVIOUR,
      ...manyServices('z-env', 61),
      'z-link/Rediaccfile': NOTING,
    });
    await vm.root(`cd ${mountPoint} && mkdir .release && mv z-link/Rediaccfile .release && rmdir z-link &&
      ln -s .release current && chmod 0 a/REDIACCFILE`);
    up = await ran(`repo up rules --timeout ${LIMIT}`);
    calls = await called();
    const logs = await desk.json<{ events: OutputEvent[] }>(`run logs ${up.told.run}`);
    events = logs.events.filter(({ event }) => event.kind === 'output');
  });

  test('root and first-level directories are found, in any letter case; hidden and deeper ones are not', () => {
    for (const call of ['up', 'up /B', 'up /a', 'up /backend', 'up /current']) expect(calls).toContain(call);
    expect(calls.join('\n')).not.toMatch(/hidden|deep|NOT-CALLED/);
  });

  test('directories of any name are called: spaces, quotes, line ends, a leading dash, 255 bytes, other scripts', () => {
    for (const name of ODD_NAMES.order) expect(calls).toContain(`up ${name}`);
  });

  test('the root comes first, then the directories in byte order', () => {
    expect(calls.filter((call) => call.startsWith('up'))).toEqual([
      'up',
      ...ODD_NAMES.order.map((name) => `up ${name}`),
    ]);
  });

  test('every prep is called before any up', () => {
    const firstUp = calls.indexOf('up');
    expect(calls.slice(0, firstUp)).toEqual(calls.slice(firstUp).map((call) => call.replace('up', 'prep')));
  });

  test('the layout of the manual: root, backend, database, monitoring', () => {
    const layout = calls.filter((call) => /^up( \/(backend|database|monitoring))?$/.test(call));
    expect(layout).toEqual(['up', 'up /backend', 'up /database', 'up /monitoring']);
  });

  test('a Rediaccfile that its mode lets nobody read is called: functions and checks are root', () => {
    expect(calls).toContain('up /a');
  });

  test('an up of a directory that fails is told, the next ones run, and the run ends partial with exit code 3', () => {
    expect(up.exitCode).toBe(3);
    expect(up.told.outcome).toBe('partial');
    expect(up.told.failed.map(({ where }) => where)).toEqual([
      'z-code up',
      'z-exit up',
      'z-killed up',
      'z-never up',
      'z-set-e up',
    ]);
    for (const { where, reason } of up.told.failed) expect(up.stderr).toContain(`${where} (${reason})`);
    // The next ones: é is behind all of them.
    expect(calls.at(-1)).toBe(`up ${ODD_NAMES.order.at(-1)}`);
  });

  test('a missing function is skipped without a word', () => {
    expect(up.stderr).not.toMatch(/z-none (prep|up)/);
    expect(eventsOf('z-none up')).toEqual([]);
  });

  test('a compose file with no services is none', () => {
    expect(up.stderr).not.toContain('z-none/docker-compose.yml');
  });

  test('the exit code of a function is that of its last command', () => {
    expect(failed('z-code up')).toBe('exit code 7');
    expect(said(up.stderr, 'z-code up')).toEqual(['went on']);
  });

  test('set -e in the file means what it says', () => {
    expect(failed('z-set-e up')).toBe('exit code 1');
    expect(said(up.stderr, 'z-set-e up')).toEqual(['before']);
  });

  test('exit 3 fails with 3, exit 0 does not fail', () => {
    expect(failed('z-exit up')).toBe('exit code 3');
    expect(failed('z-exit0 up')).toBeUndefined();
    expect(said(up.stderr, 'z-exit0 up')).toEqual(['leaving']);
  });

  test('exit 0 outside of functions is told: up was not called', () => {
    expect(up.stderr).toContain('ended its shell with exit code 0 before up() was called');
  });

  test('a killed function is told as such', () => {
    expect(failed('z-killed up')).toBe('exit code 137: it or its last command was killed by SIGKILL (signal 9)');
  });

  test('a function that never ends is ended at --timeout and told as such', () => {
    expect(failed('z-never up')).toBe(`it ran longer than ${LIMIT}`);
  });

  test('a function that kills its parent kills nothing', () => {
    expect(failed('z-parent up')).toBeUndefined();
    expect(said(up.stderr, 'z-parent up')).toEqual(['survived']);
  });

  test('what a function leaves running is ended with it, with a warning that names it', async () => {
    expect(up.stderr).toMatch(/what z-daemon up left running was ended with it: sleep \(\d+\)/);
    expect(await vm.root("pgrep -f '^sleep 424[2]' || true")).toBe('');
    // Control: it would be found.
    expect(await vm.root("sleep 4242 & pgrep -f '^sleep 424[2]'; kill $!")).toMatch(/^\d+/);
  });

  test('stdin is empty, and a function that does cd / and leaves has left nothing', () => {
    expect(failed('z-stdin up')).toBeUndefined();
    expect(said(up.stderr, 'z-stdin up')).toEqual(['stdin is empty', 'now in /']);
  });

  test('each call is a fresh shell: variables of prep do not reach up', () => {
    expect(said(up.stderr, 'z-env prep')).toEqual(['LEFT=behind']);
    expect(said(up.stderr, 'z-env up')).toContain('LEFT=nothing');
  });

  test('the working directory is that of the Rediaccfile', () => {
    expect(said(up.stderr, 'z-env up')).toContain(`PWD=${mountPoint}/z-env`);
  });

  test('the environment has every name of the contract, and beside it only what systemd and bash add', () => {
    const settings = new Map(said(up.stderr, 'z-env up').map((line) => line.split(/=(.*)/) as [string, string]));
    const ours = [...settings].filter(([name]) => !FOREIGN.test(name) && !/^S\d\d_IP$/.test(name));
    expect(Object.fromEntries(ours)).toEqual({
      REPOSITORY_PATH: mountPoint,
      REPOSITORY_NAME: guid,
      REPOSITORY_NETWORK_ID: '2816',
      REDIACC_WORKING_DIR: mountPoint,
      REDIACC_REPOSITORY: guid,
      REDIACC_NETWORK_ID: '2816',
      DOCKER_HOST: 'unix:///var/run/rediacc/docker-2816.sock',
      HOME: `${mountPoint}/.rediacc/home`,
      DOCKER_CONFIG: `${mountPoint}/.rediacc/home/.docker`,
      LANG: 'C.UTF-8',
      PATH: expect.stringMatching(/^\/usr\/lib\/rediacc\/shim:/),
      LISTMONK_APP_IP: '127.0.11.2',
      TOKEN: 'a b 2816',
      COMPOSE_PROJECT_NAME: 'z-env',
      REDIACC_PROJECT: expect.any(String),
      REDIACC_PROJECTS: expect.any(String),
      REDIACC_SERVICES: expect.any(String),
    });
  });

  test('61 services have addresses, from slot 0 to slot 60', async () => {
    const lines = said(up.stderr, 'z-env up');
    expect(lines.filter((line) => /^(S\d\d|LISTMONK_APP)_IP=/.test(line))).toHaveLength(61);
    expect(lines).toEqual(expect.arrayContaining(['LISTMONK_APP_IP=127.0.11.2', 'S60_IP=127.0.11.62']));
    const file = JSON.parse(await vm.root(`cat ${mountPoint}/.rediacc.json`));
    expect(file.services).toMatchObject({ 'listmonk-app': { slot: 0 }, s60: { slot: 60 } });
  });

  test('the .env beside the Rediaccfile is loaded as compose would, and no other', () => {
    expect(said(up.stderr, 'z-env up')).toContain('TOKEN=a b 2816');
    expect(said(up.stderr, 'z-exit0 up')).not.toContain('TOKEN=a b 2816');
  });

  test('output comes while the function runs, also the part of a line', () => {
    const [prompt, answer] = eventsOf('z-output up');
    expect(prompt?.event).toMatchObject({ text: 'Password: ', partial: true });
    expect((answer?.at ?? 0) - (prompt?.at ?? 0)).toBeGreaterThan(1000);
  });

  test('output has the name of its directory before each line; parts, CR LF, colours and a last line without end are lines', () => {
    expect(said(up.stderr, 'z-output up')).toEqual(['Password: ok', 'crlf', 'red', 'caf\uFFFD', '60%', 'no end']);
  });

  test('the log keeps what is no UTF-8, and colours, byte for byte', () => {
    const lines = eventsOf('z-output up').map(({ event }) => event);
    expect(lines.find(({ text }) => text.includes('red'))?.text).toBe('\u001b[31mred\u001b[0m');
    const latin = lines.find(({ raw }) => raw !== undefined);
    expect(Buffer.from(latin?.raw ?? '', 'base64').toString('latin1')).toBe('caf\xe9');
  });

  test('2 MB of output come whole, and so they are in the log', () => {
    const sum = (lines: string[]) => lines.reduce((bytes, line) => bytes + line.length + 1, 0);
    const lines = said(up.stderr, 'z-much up');
    expect([lines.length, sum(lines)]).toEqual([5000, 2_000_000]);
    expect(sum(eventsOf('z-much up').map(({ event }) => event.text))).toBe(2_000_000);
  });
});

describe('one down', () => {
  let down: Ran;
  let calls: string[];

  beforeAll(async () => {
    await vm.root(`cd ${mountPoint} && rm -rf z-* trace`);
    await put({
      Rediaccfile: `${NOTING}\ndown() { note down; return 5; }\n`,
      'Y/Rediaccfile': `${NOTING}\ndown() { note down; return 4; }\n`,
      'X/Rediaccfile': 'down() { fi; }\n',
    });
    await vm.root(`rm ${mountPoint}/RediaccFile`);
    down = await ran('repo down rules');
    calls = await called();
  });

  test('down calls the directories from Z to A, then the root', () => {
    const directories = ODD_NAMES.order.toReversed().map((name) => `down ${name}`);
    expect(calls.filter((call) => call !== 'down /Y')).toEqual([...directories, 'down']);
  });

  test('the layout of the manual, backwards: monitoring, database, backend, root', () => {
    const layout = calls.filter((call) => /^down( \/(backend|database|monitoring))?$/.test(call));
    expect(layout).toEqual(['down /monitoring', 'down /database', 'down /backend', 'down']);
  });

  test('every down is called, failures are told, and the run ends partial with exit code 3', () => {
    expect(down.exitCode).toBe(3);
    expect(down.told.failed.map(({ where }) => where)).toEqual(['Y down', 'X down', 'root down']);
    expect(down.told.failed[1]?.reason).toContain('X/Rediaccfile: line 1: syntax error');
    expect(down.stderr).toContain('Y down (exit code 4)');
  });
});

describe('what stops a run', () => {
  test('a prep that fails stops at once, and no up is called', async () => {
    await replaceBy({ ...ORDINARY, 'B/rediaccfile': `${NOTING}\nprep() { note prep; return 2; }\n` });
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(1);
    expect(told.error).toMatchObject({ code: 'FUNCTION_FAILED' });
    expect(told.error.message).toContain('prep() of "rules" (B/rediaccfile) failed: exit code 2');
    expect(await called()).toEqual(['prep', 'prep /B']);
  });

  test('a prep that never ends is ended at --timeout: the run stops, and no up is called', async () => {
    await replaceBy({ Rediaccfile: `${NOTING}\nprep() { note prep; sleep 600; }\n`, 'B/Rediaccfile': NOTING });
    const { exitCode, told } = await ran('repo up rules --timeout 3s');
    expect(exitCode).toBe(1);
    expect(told.error.message).toContain('prep() of "rules" (Rediaccfile) failed: it ran longer than 3s');
    expect(await called()).toEqual(['prep']);
  });

  test('--prep-only calls every prep and no up', async () => {
    await replaceBy({ Rediaccfile: NOTING, 'backend/Rediaccfile': NOTING });
    expect(await ran('repo up rules --prep-only')).toMatchObject({ exitCode: 0, told: { outcome: 'done' } });
    expect(await called()).toEqual(['prep', 'prep /backend']);
  });

  test('--only calls the named directories, --changed those whose files are others', async () => {
    await desk.done('repo down rules');
    await replaceBy({ 'a/Rediaccfile': NOTING, 'b/Rediaccfile': NOTING });
    const calls = async (options: string) => {
      await vm.root(`rm -f ${mountPoint}/trace`);
      const { exitCode } = await ran(`repo up rules ${options}`);
      return [exitCode, ...(await called())];
    };
    expect(await calls('--only b')).toEqual([0, 'prep /b', 'up /b']);
    expect((await desk.json<{ state: string }>('repo status rules')).state).toBe('partial');
    expect(await calls('--changed')).toEqual([0, 'prep /a', 'up /a']);
    await put({ 'b/app/main': 'new' });
    expect(await calls('--changed')).toEqual([0, 'prep /b', 'up /b']);
    expect(await calls('--changed')).toEqual([0]);
    expect(await calls('--only c')).toEqual([10]);
    expect((await desk.json<{ state: string }>('repo status rules')).state).toBe('up');
  });

  test('an up of the root that fails stops; up sees what prep wrote; the slots of the manual have its addresses', async () => {
    const root = `${NOTING}
      prep() { note prep; printf 'services: {late: {image: busybox}}' >backend/compose.yaml; }
      up() { note up; echo "$API_IP $POSTGRES_IP $REDIS_IP late: $LATE_IP"; return 6; }\n`;
    await replaceBy({ Rediaccfile: root, 'backend/Rediaccfile': NOTING, '.rediacc.json': MANUAL_SLOTS });
    const { exitCode, told, stderr } = await ran('repo up rules');
    expect(exitCode).toBe(1);
    expect(told.error.message).toContain('up() of "rules" (Rediaccfile) failed: exit code 6');
    expect(said(stderr, 'root up')).toEqual(['127.0.11.2 127.0.11.3 127.0.11.4 late: 127.0.11.5']);
    expect(await called()).toEqual(['prep', 'prep /backend', 'up']);
  });
});

describe('refused before anything runs', () => {
  const ODD: readonly [kind: string, make: string, words: string][] = [
    [
      'two names in one directory',
      'touch x/Rediaccfile x/rediaccfile',
      'x has two Rediaccfiles: Rediaccfile and rediaccfile',
    ],
    ['a directory', 'mkdir x/Rediaccfile', 'is a directory, no file'],
    ['a dangling link', 'ln -s gone x/Rediaccfile', 'is a link that leads to nothing'],
    ['a FIFO', 'mkfifo x/Rediaccfile', 'is a fifo, no file'],
    ['a link out of the mount', 'ln -s /etc/hostname x/Rediaccfile', 'leads out of the repository'],
    [
      'a link to a directory out of the mount',
      'rmdir x; mkdir -p /srv/out; touch /srv/out/Rediaccfile; ln -s /srv/out x',
      'leads out of the repository',
    ],
  ];

  test.each(ODD)('a Rediaccfile that is %s', async (_kind, make, words) => {
    await replaceBy(ORDINARY);
    await vm.root(`cd ${mountPoint} && mkdir x && { ${make}; }`);
    const { exitCode, told } = await ran('repo validate rules');
    expect(exitCode).toBe(1);
    expect(told.findings).toMatchObject([{ severity: 'error', message: expect.stringContaining(words) }]);
  });

  test('up refuses such a file with exit code 2, and calls nothing', async () => {
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    expect(told.error.message).toContain('leads out of the repository');
    expect(await called()).toEqual([]);
  });

  test('broken texts, .env files and compose files are all told at once, with file and line', async () => {
    await replaceBy({ ...ORDINARY, ...BROKEN.rediaccfiles, ...BROKEN.settings, ...BROKEN.composeFiles });
    await vm.root(`cd ${mountPoint} && mkdir large && head -c 10M /dev/zero | tr '\\0' x >large/Rediaccfile`);
    const { exitCode, told } = await ran('repo validate rules');
    expect(exitCode).toBe(1);
    const errors = told.findings.filter(({ severity }) => severity === 'error');
    expect(errors.map(({ file, line }) => (line === undefined ? file : `${file}:${line}`)).toSorted()).toEqual(
      expect.arrayContaining(Object.keys(BROKEN.words)),
    );
    for (const [place, words] of Object.entries(BROKEN.words)) {
      const messages = errors.filter(({ file, line }) => place === file || place === `${file}:${line}`);
      expect(messages.map(({ message }) => message).join('\n'), place).toContain(words);
    }
  });

  test('up refuses all broken Rediaccfiles with exit code 2, and calls nothing', async () => {
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    for (const path of [...Object.keys(BROKEN.rediaccfiles), 'large/Rediaccfile']) {
      expect(told.error.message).toContain(path);
    }
    expect(await called()).toEqual([]);
  });

  test.each([
    ['many', 'a 62nd service', 'many/docker-compose.yml:63: service "s61" is one too many'],
    ['names', 'names that collide', 'services "a-b" (names/docker-compose.yml:2) and "a_b"'],
    ['bomb', 'a YAML bomb', 'bomb/compose.yml:'],
  ])('up refuses the directory "%s", %s, by name and calls nothing', async (directory, _what, words) => {
    const files = Object.entries(BROKEN.composeFiles).filter(([path]) => path.startsWith(directory));
    await replaceBy({ ...ORDINARY, ...Object.fromEntries(files) });
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    expect(told.error.message).toContain(words);
    expect(await called()).toEqual([]);
  });

  test('a .env that sets a name of the contract, PATH or LD_PRELOAD is refused by up as well', async () => {
    await replaceBy({ ...ORDINARY, 'env/Rediaccfile': '', 'env/.env': 'A=1\nLD_PRELOAD=/x\n' });
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    expect(told.error.message).toContain('env/.env: line 2 sets LD_PRELOAD');
    expect(await called()).toEqual([]);
  });
});

test('the unit files that are installed are clean to systemd-analyze; control: a broken one is not', async () => {
  const verify = (paths: string) => vm.ssh('root', `SYSTEMD_LOG_COLOR=0 systemd-analyze verify ${paths} 2>&1`);
  const installed = (await vm.root('ls -d /etc/systemd/system/rediacc*.* | grep -v "[.]d$"')).split('\n');
  expect(installed.length).toBeGreaterThanOrEqual(9);
  // A template is looked at as an instance.
  const paths = installed.map((path) => path.replace('@.', `@${guid}.`)).join(' ');
  const clean = await verify(paths);
  expect(clean.stdout.split('\n').filter((line) => line.includes('rediacc'))).toEqual([]);
  expect(clean.exitCode).toBe(0);
  await vm.root(
    "sed 's/^ExecStart=/ExecStrat=/' /etc/systemd/system/rediacc-agent.service >/tmp/rediacc-broken.service",
  );
  const broken = await verify('/tmp/rediacc-broken.service');
  expect(broken.stdout).toContain("Unknown key 'ExecStrat' in section [Service]");
});
