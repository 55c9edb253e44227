// What a function does and how it ends, with the very command line of the agent and real bash.
import { afterEach, describe, expect, it, test } from 'vitest';
import { findFaults } from '../../src/agent/check-rediaccfiles.ts';
import { repoTarget } from '../../src/agent/layout.ts';
import { prepareCalls } from '../../src/agent/prepare-calls.ts';
import type { FunctionName } from '../../src/lifecycle/function-call.ts';
import { type Failure, runPass } from '../../src/lifecycle/passes.ts';
import { findRediaccfiles } from '../../src/lifecycle/rediaccfile.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { NetworkId, RepoName } from '../../src/protocol/ids.ts';
import { GUID } from '../helpers/target.ts';
import { fillMount, type NativeUnits, nativeUnits } from './native-units.ts';

const mounts: { remove(): void }[] = [];
afterEach(() => {
  for (const mount of mounts.splice(0)) mount.remove();
});

interface Called {
  failures: Failure[];
  events: RunEvent[];
  output: string[];
  warnings: string[];
  steps: string[];
  system: NativeUnits;
  path: string;
}

interface CallOptions {
  name?: FunctionName;
  timeoutMs?: number;
  inherited?: Record<string, string>;
  onEvent?(event: RunEvent): void;
}

/** Files of the mount, or the text of one in "api": so that a failure of `up` does not stop the pass. */
async function call(files: string | Record<string, string>, options: CallOptions = {}): Promise<Called> {
  const mount = fillMount(typeof files === 'string' ? { 'api/Rediaccfile': files } : files);
  mounts.push(mount);
  const identity = { guid: GUID, name: 'shop' as RepoName, networkId: 2816 as NetworkId, linkIndex: 0 };
  const layout = repoTarget('/mnt/rediacc', identity);
  const target = { ...layout, paths: { ...layout.paths, mountPoint: mount.path, home: `${mount.path}/.rediacc/home` } };
  const system = nativeUnits(options.inherited);
  const found = await findRediaccfiles(system, mount.path);
  const services = { services: { api: { slot: 0 } } } as Parameters<typeof prepareCalls>[3];
  const calls = await prepareCalls(system, target, found, services, await findFaults(system, mount.path, found));
  const events: RunEvent[] = [];
  const failures = await runPass({
    system,
    report: (event) => {
      events.push(event);
      options.onEvent?.(event);
    },
    target,
    name: options.name ?? 'up',
    ...calls,
    runId: 'r1',
    mark: 'rediacc-0123456789abcdef',
    timeoutMs: options.timeoutMs,
    host: { resolvConf: undefined, dockerData: undefined },
  });
  const texts = <K extends RunEvent['kind']>(kind: K, text: (event: Extract<RunEvent, { kind: K }>) => string) =>
    events.filter((event): event is Extract<RunEvent, { kind: K }> => event.kind === kind).map(text);
  return {
    failures,
    events,
    output: texts('output', ({ text }) => text),
    warnings: texts('warning', ({ message }) => message),
    steps: texts('step', ({ title, state, detail }) =>
      [title, state, detail].filter((part) => part !== undefined).join(' '),
    ),
    system,
    path: mount.path,
  };
}

describe('how a function ends', () => {
  test.each<[what: string, text: string, reason: string | undefined]>([
    ['its exit code is that of its last command', 'up() { false; true; }', undefined],
    ['… and a failing one before that counts nothing', 'up() { true; (exit 7); }', 'exit code 7'],
    ['set -e of the file means what it says', 'set -e\nup() { false; echo no; }', 'exit code 1'],
    ['without set -e it goes on', 'up() { false; echo yes; }', undefined],
    ['set -e, and no such function', 'set -e\nprep() { :; }', undefined],
    ['set -eu and pipefail', 'set -euo pipefail\nup() { echo "$NOT_THERE"; }', 'exit code 1'],
    ['exit 0 inside', 'up() { exit 0; false; }', undefined],
    ['exit 3 inside', 'up() { exit 3; }', 'exit code 3'],
    ['exit 3 outside', 'exit 3\nup() { :; }', 'exit code 3 before up() was called'],
    [
      'a top level that fails under set -e',
      'set -e\ncat /not/there\nup() { :; }',
      'exit code 1 before up() was called',
    ],
    ['a top level that ends in a false, without set -e', 'up() { :; }\n[ -n "" ] && echo x', undefined],
    ['function up {', 'function up { return 5; }', 'exit code 5'],
    ['cd / and leaving', 'up() { cd /; rmdir proc 2>/dev/null; cd /usr; true; }', undefined],
    ['exec of another program', 'up() { exec sh -c "exit 6"; }', 'exit code 6'],
    ['closing stdout and stderr', 'up() { exec >&- 2>&-; return 8; }', 'exit code 8'],
    ['an EXIT trap of its own', 'trap "exit 9" EXIT\nup() { :; }', 'exit code 9'],
    ['an ERR trap of its own is no failure', 'trap "echo err" ERR\nup() { false; true; }', undefined],
    [
      'it kills itself',
      'up() { kill -9 $$; }',
      'exit code 137: it or its last command was killed by SIGKILL (signal 9)',
    ],
    [
      'it crashes',
      'up() { kill -SEGV $$; }',
      'exit code 139: it or its last command was killed by SIGSEGV (signal 11)',
    ],
    ['exit 255 is no signal', 'up() { (exit 255); }', 'exit code 255'],
    [
      'it ends its group',
      'up() { kill 0; sleep 5; }',
      'exit code 143: it or its last command was killed by SIGTERM (signal 15)',
    ],
    ['SIGTERM to its parent changes nothing', 'up() { kill $PPID; sleep 0.1; return 4; }', 'exit code 4'],
    ['SIGKILL to its parent does nothing', 'up() { kill -9 $PPID; return 4; }', 'exit code 4'],
    [
      'it stops itself and goes on',
      'up() { (sleep 0.1; kill -CONT $$) & kill -STOP $$; wait; return 2; }',
      'exit code 2',
    ],
    ['stdin is empty', 'up() { read -r line; [ "$?" = 1 ] && [ -z "$line" ]; }', undefined],
    ['an alias is no function', 'shopt -s expand_aliases\nalias up="exit 5"', undefined],
    ['no arguments', 'up() { return $#; }\nif [ $# != 0 ]; then exit 9; fi', undefined],
  ])('%s', async (_what, text, reason) => {
    const { failures } = await call(text);
    expect(failures).toEqual(reason === undefined ? [] : [{ where: 'api up', reason }]);
  });

  it('a function that never ends is ended at its limit, also one that ignores SIGTERM', async () => {
    const { failures } = await call('up() { trap "" TERM; while :; do sleep 1; done; }', { timeoutMs: 1000 });
    expect(failures).toEqual([{ where: 'api up', reason: 'it ran longer than 1s' }]);
  });

  it('many short ones, many at once: each comes to its end', async () => {
    for (let round = 0; round < 10; round++) {
      const ends = await Promise.all(
        Array.from({ length: 8 }, (_, at) => call(at % 2 === 0 ? 'up() { kill -9 $$; }' : 'up() { kill $PPID 0; }')),
      );
      expect(ends.map(({ failures }) => failures.length)).toEqual(Array.from({ length: 8 }, () => 1));
    }
  }, 60_000);

  it('control: a slow function that fails just before its limit is not told as a timeout', async () => {
    const { failures } = await call('up() { sleep 0.5; return 3; }', { timeoutMs: 20_000 });
    expect(failures).toEqual([{ where: 'api up', reason: 'exit code 3' }]);
  });

  it('a file that ends its shell with exit 0 outside of functions is told: up() was not called', async () => {
    const { failures, warnings, steps } = await call('exit 0\nup() { :; }');
    expect(failures).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('before up() was called')]);
    expect(steps).toContain('api up skipped the file ended before up()');
  });

  it('no function: skipped without a word of output, also where another place exports one', async () => {
    const inherited = { 'BASH_FUNC_up%%': '() { echo foreign; }' };
    const { output, steps, warnings } = await call('prep() { :; }', { inherited });
    expect([output, warnings]).toEqual([[], []]);
    expect(steps).toEqual(['api up start', 'api up skipped no up()']);
  });
});

describe('what is left running', () => {
  it('is named, and ended with the function; its exit code stays', async () => {
    const { failures, warnings } = await call('up() { sleep 300 & disown; setsid sleep 301 & return 3; }');
    expect(failures).toEqual([{ where: 'api up', reason: 'exit code 3' }]);
    expect(warnings).toEqual([
      expect.stringMatching(/^what api up left running was ended with it: sleep \(\d+\), sleep \(\d+\)$/),
    ]);
  });

  it('is named when bash was killed, too', async () => {
    const { failures, warnings } = await call('up() { sleep 300 & kill -9 $$; }');
    expect(failures).toEqual([
      { where: 'api up', reason: 'exit code 137: it or its last command was killed by SIGKILL (signal 9)' },
    ]);
    expect(warnings).toEqual([expect.stringContaining('sleep (')]);
  });

  it('control: what is just ending is not named, and its last words come', async () => {
    const { warnings, output } = await call('up() { echo a | cat; echo b > >(sleep 0.1; cat); }');
    expect(warnings).toEqual([]);
    expect(output).toEqual(['a', 'b']);
  });
});

describe('output', () => {
  it('comes while the function runs, a prompt without line end as well', async () => {
    const seen: number[] = [];
    const started = performance.now();
    const { output } = await call('up() { printf "Password: "; sleep 2; echo ok; }', {
      onEvent: (event) => void (event.kind === 'output' && seen.push(performance.now() - started)),
    });
    expect(output).toEqual(['Password: ', 'ok']);
    expect((seen[1] ?? 0) - (seen[0] ?? 0)).toBeGreaterThan(500);
  });

  it('of /dev/stdout and /dev/stderr comes, as of tee', async () => {
    const { output, failures } = await call(
      'up() { echo a >/dev/stdout; echo b >/dev/stderr; echo c | tee /dev/stderr; }',
    );
    expect(failures).toEqual([]);
    expect(output.toSorted()).toEqual(['a', 'b', 'c', 'c']);
  });

  it('of set -x holds nothing of ours but the call', async () => {
    const { output } = await call('set -x\nup() { :; }');
    expect(output).toEqual(['+ up', '+ :']);
  });

  it('that looks like words of systemd-run is output', async () => {
    const { output, failures } = await call('up() { echo "Finished with result: timeout" >&2; echo x >&2; return 2; }');
    expect(output).toEqual(['Finished with result: timeout', 'x']);
    expect(failures).toEqual([{ where: 'api up', reason: 'exit code 2' }]);
  });

  it('of 20 MB comes whole', async () => {
    const { output } = await call('up() { head -c 20000000 /dev/zero | tr "\\0" x; }');
    expect(output.reduce((sum, text) => sum + text.length, 0)).toBe(20_000_000);
  });
});

describe('environment', () => {
  const PRINT = 'up() { env; }';
  const NAMES = [
    ...['DOCKER_CONFIG', 'DOCKER_HOST', 'HOME', 'LANG', 'PATH', 'PWD', 'API_IP', 'SHLVL', '_'],
    ...['REDIACC_NETWORK_ID', 'REDIACC_REPOSITORY', 'REDIACC_WORKING_DIR', 'COMPOSE_PROJECT_NAME'],
    ...['REDIACC_PROJECT', 'REDIACC_PROJECTS', 'REDIACC_SERVICES'],
    ...['REPOSITORY_NAME', 'REPOSITORY_NETWORK_ID', 'REPOSITORY_PATH'],
  ];

  it('is the contract and nothing else, in the directory of the file', async () => {
    const { output, path } = await call(PRINT);
    expect(output.map((line) => line.split('=')[0]).toSorted()).toEqual(NAMES.toSorted());
    expect(output).toEqual(expect.arrayContaining([`PWD=${path}/api`, `REPOSITORY_PATH=${path}`, 'API_IP=127.0.11.2']));
  });

  it('has the .env of the directory, and of no other; its values are in no argument', async () => {
    const { output, system } = await call({
      'api/Rediaccfile': 'up() { echo "[$TOKEN]"; cat; }',
      'api/.env': 'TOKEN="hunter2\nline ${API_IP} $$"\nUID=1000\na.b=c\n',
      'web/Rediaccfile': 'up() { echo "[${TOKEN-none}]"; }',
    });
    expect(output).toEqual(['[hunter2', 'line 127.0.11.2 $]', '[none]']);
    expect(JSON.stringify(system.calls)).not.toContain('hunter2');
    expect(system.calls[0]?.stdin?.toString()).not.toContain('hunter2');
  });

  it('stands in the directory, whatever it is called', async () => {
    const names = ['a b', "it's", '-x', '$HOME ${PATH} $$', 'li\nne', 'ü😀', 'd'.repeat(255), 'a"b\\'];
    const files = Object.fromEntries(
      names.map((name) => [`${name}/Rediaccfile`, 'up() { printf "%q\\n" "${PWD##*/}"; }']),
    );
    const { failures, steps } = await call(files);
    expect(failures).toEqual([]);
    expect(steps.filter((step) => / up done$/.test(step))).toHaveLength(names.length);
  });
});

it('a pass of down tells what cannot be called and calls the others', async () => {
  const { failures, output } = await call(
    {
      'api/Rediaccfile': 'down() { echo api; }',
      'bad/Rediaccfile': 'down() { if; }',
      'env/Rediaccfile': 'down() { echo no; }',
      'env/.env': 'DOCKER_HOST=x',
    },
    { name: 'down' },
  );
  expect(output).toEqual(['api']);
  expect(failures.map(({ where }) => where)).toEqual(['env down', 'bad down']);
  expect(failures[0]?.reason).toContain("env/.env: line 1 sets DOCKER_HOST, which is not a .env's to set");
  expect(failures[1]?.reason).toMatch(/^bad\/Rediaccfile: line 1: syntax error/);
});
