// The rules of Rediaccfiles that one up of everything and one down tell, on a real machine: what is found, in which order it is called,
// what a failure means, what a function has. docs/rediaccfile.md names the tests of this file by their titles.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BEHAVIOUR, manyServices, NOTING, ODD_NAMES, ORDINARY } from '../fixtures/rediaccfile/files.ts';
import {
  called,
  closeRules,
  desk,
  guid,
  mountPoint,
  openRules,
  put,
  type Ran,
  ran,
  replaceBy,
  said,
  vm,
} from '../machine/rules-repository.ts';

interface OutputEvent {
  at: number;
  event: { kind: string; source: string; text: string; partial?: true; raw?: string };
}

/** Longest time of a function where one never ends: emulated and among others, an ordinary one takes up to ten seconds. */
const LIMIT = '30s';
/** In the environment of a function by systemd (systemd.exec(5)), by bash, and by the test's own function. */
const FOREIGN = /^(INVOCATION_ID|JOURNAL_STREAM|MEMORY_PRESSURE_.*|SYSTEMD_EXEC_PID|USER|SHLVL|PWD|_|LEFT)$/;

beforeAll(openRules);
afterAll(closeRules);

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
