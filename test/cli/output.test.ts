// What is data and what is talk, and how a run looks on a terminal and elsewhere.
import { describe, expect, test, vi } from 'vitest';
import { cleanLine } from '../../src/cli/io.ts';
import { describePlan } from '../../src/cli/plan-text.ts';
import { openProgress } from '../../src/cli/progress.ts';
import { describeTransfer } from '../../src/cli/transfer-text.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { workstation } from '../helpers/cli-world.ts';
import { bufferedIo } from '../helpers/run-cli.ts';

const RUN = '0123456789ab-00000002';

describe('--json: one document on stdout, whatever happens', () => {
  test.each([
    'context list',
    'context show',
    'context current',
    'context create-local other',
    'context use production',
    'context add-machine n --ip 203.0.113.9 --user root',
    'context scan-keys m',
    'context setup-machine m',
    'context setup-machine m --dry-run',
    'context remove-machine m --yes',
    'context delete production --yes',
    'repo create new --size 1G',
    'repo create new --size 1G --dry-run',
    'repo list',
    'repo status shop',
    'repo ip shop',
    'repo ip shop nothing',
    'repo mount shop',
    'repo unmount shop',
    'repo up shop',
    'repo up shop --dry-run',
    'repo down shop --unmount',
    'repo credential rotate shop',
    'repo credential show shop',
    'repo adopt shop',
    'repo delete shop --yes',
    'repo delete shop',
    'repo status nowhere',
    'run list',
    'run attach 0123456789ab-00000001',
    'run logs 0123456789ab-00000001',
    'run cancel 0123456789ab-00000001',
    'run logs ffffffffffff-ffffffff',
    'machine status',
    'machine status nowhere',
    'doctor',
  ])('%s', async (line) => {
    const { rdc, done } = workstation('m');
    await done('repo create shop --size 1G');
    const { json, exitCode, stdout } = await rdc(`${line} --json`);
    const document = json() as { error?: { code: string; message: string } };
    if (document.error !== undefined) expect(exitCode).not.toBe(0);
    expect(stdout.endsWith('}\n')).toBe(true);
  });

  test('an error has code, message and hint; the cause only with -v', async () => {
    const { rdc } = workstation('m');
    const missing = 'repo status shop';
    expect((await rdc(`${missing} --json`)).json()).toEqual({
      error: {
        code: 'NOT_FOUND',
        message: 'there is no repository "shop" on machine "m"',
        hint: 'there is no repository yet',
      },
    });
    expect((await rdc(`${missing} --json -v`)).json()).toMatchObject({ error: { detail: expect.any(String) } });
    expect((await rdc(missing)).stderr).not.toContain('cause');
    expect((await rdc(`${missing} -v`)).stderr).toContain('cause: there is no repository "shop" on this machine');
  });
});

test('-q says nothing but data, warnings and errors', async () => {
  const { done, rdc } = workstation('m');
  expect(await done('repo create shop --size 1G -q')).toMatchObject({ stdout: '', stderr: '' });
  expect(await done('repo list -q')).toMatchObject({ stderr: '' });
  expect((await rdc('repo status nowhere -q')).stderr).toContain('rdc: there is no repository "nowhere"');
});

test('an up that found nothing to start does not say that it is up, nor does up-all', async () => {
  const { done, machine } = workstation('m');
  await done('repo create shop --size 1G');
  machine.isBare = true;
  const { stderr } = await done('repo up shop');
  expect(stderr).toContain('repository "shop" has nothing to start and is open on "m"');
  expect(stderr).not.toContain('is up');
  await done('repo down shop');
  expect((await done('repo up-all')).stdout).toMatch(/^shop .*it has no Rediaccfile: nothing was started$/m);
});

describe('a partial run', () => {
  test('exit 3 with the names of what failed, and how to read more', async () => {
    const { done, rdc, machine } = workstation('m');
    await done('repo create shop --size 1G');
    machine.failing = ['backend up', 'monitoring up'];
    const { stderr, exitCode } = await rdc('repo up shop');
    expect(exitCode).toBe(3);
    expect(stderr).toContain('but only partly: backend up (exit code 1), monitoring up (exit code 1) failed');
    expect(stderr).toContain(`hint: rdc run logs ${RUN} -m m`);
    expect((await rdc('repo status shop --no-color')).stdout).toMatch(
      new RegExp(
        `^last up +partial .*: backend up \\(exit code 1\\), monitoring up \\(exit code 1\\); rdc run logs ${RUN} -m m$`,
        'm',
      ),
    );
    const { json, exitCode: code } = await rdc('repo up shop --json');
    expect(code).toBe(3);
    expect(json()).toMatchObject({ outcome: 'partial', failed: [{ where: 'backend up' }, { where: 'monitoring up' }] });
    expect(await rdc(`run attach ${RUN}`)).toMatchObject({ exitCode: 3 });
    expect(await rdc(`run logs ${RUN}`)).toMatchObject({ exitCode: 0 });
  });

  test('control: a good one names its run', async () => {
    const { done } = workstation('m');
    await done('repo create shop --size 1G');
    await done('repo up shop');
    expect((await done('repo status shop --no-color')).stdout).toMatch(
      new RegExp(`^last up +done .* \\(run ${RUN}\\)$`, 'm'),
    );
  });

  test('a list in which one machine is silent', async () => {
    const { done, rdc, machines } = workstation('m', 'silent');
    await done('repo create shop -m m --size 1G');
    delete machines.silent;
    const { stdout, stderr, exitCode } = await rdc('repo list');
    expect(stdout).toContain('shop');
    expect(stderr).toContain('warning: machine "silent": cannot reach machine "silent"');
    expect(exitCode).toBe(3);
    expect(await rdc('repo list -m silent')).toMatchObject({ exitCode: 5 });
  });
});

test('a hint works as it stands: machine and context are in it', async () => {
  const { done, rdc, machine } = workstation('m');
  await done('repo create shop --size 1G');
  machine.before = (operation) => {
    if (operation === 'repo.up') throw new RdcError('BUSY', 'busy', { hint: 'rdc run attach 0123456789ab-00000009' });
  };
  const { stderr, exitCode } = await rdc('repo up shop --context production');
  expect(stderr).toContain('hint: rdc run attach 0123456789ab-00000009 -m m --context production\n');
  expect(exitCode).toBe(11);
});

test('run list and logs', async () => {
  const { done } = workstation('m');
  await done('repo create shop --size 1G');
  await done('repo up shop');
  expect((await done('run list')).stdout).toContain(RUN);
  const { stdout } = await done(`run logs ${RUN}`);
  expect(stdout).toMatch(/^\d\d:\d\d:\d\d root up \| Starting services...\n\d\d:\d\d:\d\d ✓ repo up 0.4s\ndone\n$/);
});

test('-q keeps the last words of a function that failed, and nothing of one that did not', async () => {
  const { done, rdc, machine } = workstation('m');
  await done('repo create shop --size 1G');
  expect((await done('repo up shop -q')).stderr).toBe('');
  machine.failing = ['root up'];
  const { stderr, exitCode } = await rdc('repo up shop -q');
  expect(stderr).toContain('root up | Starting services...');
  expect(exitCode).toBe(3);
});

describe('dry run', () => {
  test('prints the plan and changes nothing; -v adds the actions', async () => {
    const { done, machine } = workstation('m');
    await done('repo create shop --size 1G');
    expect((await done('repo up shop --dry-run')).stdout).toBe('+ repo up\n');
    expect((await done('repo up shop --dry-run -v')).stdout).toBe('+ repo up\n    do it\n');
    expect((await done('repo up shop --dry-run --json')).json()).toMatchObject({
      dryRun: true,
      plan: [{ title: 'repo up' }],
    });
    expect(machine.repos[0]?.state).toBe('closed');
  });

  test('every kind of step', () => {
    const { paintOut: paint } = bufferedIo().io;
    const steps = [
      { id: 'a', title: 'open the encrypted volume', expect: 'change' as const, actions: ['cryptsetup open'] },
      { id: 'b', title: 'mount the filesystem', expect: 'already' as const, already: 'the filesystem is mounted' },
      { id: 'c', title: 'root up', expect: 'always' as const },
      { id: 'd', title: 'give addresses', expect: 'unknown' as const },
    ];
    expect(describePlan(steps, { actions: true, paint })).toBe(
      [
        '+ open the encrypted volume',
        '    cryptsetup open',
        '= mount the filesystem (already: the filesystem is mounted)',
        '* root up',
        '? give addresses (known once the steps before have run)',
      ].join('\n'),
    );
    expect(describePlan([], { actions: false, paint })).toBe('= nothing to do');
  });
});

describe('progress', () => {
  const events = [
    { kind: 'step', id: 'a', title: 'attach the image', state: 'already', detail: 'the image is attached' },
    { kind: 'step', id: 'b', title: 'open the encrypted volume', state: 'start' },
    { kind: 'step', id: 'b', title: 'open the encrypted volume', state: 'done', ms: 412 },
    { kind: 'step', id: 'c', title: 'root prep', state: 'skipped', detail: 'no prep()' },
    {
      kind: 'output',
      source: 'root up',
      stream: 'stdout',
      text: 'pulling 1%\rpulling 100%\u001b[2K\u001b[31m!\u001b[0m',
    },
    { kind: 'step', id: 'd', title: 'backend up', state: 'failed', ms: 75_000, detail: 'exit code 1' },
    { kind: 'warning', message: 'two services share one address', hint: 'rdc repo validate shop' },
  ] as const;

  test('plain lines where nothing can change', async () => {
    const { io, text } = bufferedIo();
    const progress = await openProgress(io, () => 0);
    for (const event of events) progress.event(event);
    progress.close();
    expect(text()).toEqual({
      stdout: '',
      stderr: [
        '= already: the image is attached',
        '✓ open the encrypted volume 0.4s',
        'root up | pulling 100%!',
        '✗ backend up: exit code 1 1m15s',
        'warning: two services share one address',
        '  hint: rdc repo validate shop',
        '',
      ].join('\n'),
    });
  });

  test('-v tells of skipped functions, -q of warnings only', async () => {
    const verbose = bufferedIo({ verbose: true });
    const quiet = bufferedIo({ quiet: true });
    for (const { io } of [verbose, quiet]) {
      const progress = await openProgress(io, () => 0);
      for (const event of events) progress.event(event);
      progress.close();
    }
    expect(verbose.text().stderr).toContain('- root prep: no prep()\n');
    expect(quiet.text().stderr).toBe('warning: two services share one address\n  hint: rdc repo validate shop\n');
  });

  test('the parts of a line are shown as one line, per source and stream; what never ends comes with its step', async () => {
    const { io, text } = bufferedIo();
    const progress = await openProgress(io, () => 0);
    const said = (stream: 'stdout' | 'stderr', words: string, partial?: true) =>
      progress.event({ kind: 'output', source: 'root up', stream, text: words, ...(partial && { partial }) });
    said('stdout', 'Password: ', true);
    said('stderr', 'a warning between');
    said('stdout', 'ok');
    said('stdout', '10%\r20%\r', true);
    said('stdout', '');
    said('stdout', 'next', true);
    progress.event({ kind: 'step', id: 'up.root', title: 'root up', state: 'done', ms: 0 });
    said('stdout', 'end', true);
    progress.close();
    expect(text().stderr).toBe(
      [
        'root up | a warning between',
        'root up | Password: ok',
        'root up | 20%',
        'root up | next',
        '✓ root up 0.0s',
        'root up | end',
        '',
      ].join('\n'),
    );
  });

  test('a prompt is seen while its step runs', async () => {
    const { io, text } = bufferedIo({ terminal: { stderr: true } });
    const progress = await openProgress(io, () => 0);
    progress.event({ kind: 'step', id: 'up.root', title: 'root up', state: 'start' });
    progress.event({ kind: 'output', source: 'root up', stream: 'stdout', text: 'Password: ', partial: true });
    expect(text().stderr).toContain('root up 0.0s  Password: ');
    progress.close();
  });

  test('a line that never ends is shown in pieces, so that it fills no memory', async () => {
    const { io, text } = bufferedIo();
    const progress = await openProgress(io, () => 0);
    const part = {
      kind: 'output',
      source: 'root up',
      stream: 'stdout',
      text: 'x'.repeat(16_384),
      partial: true,
    } as const;
    for (let sent = 0; sent < 100; sent++) progress.event(part);
    const before = text().stderr.length;
    expect(before).toBeGreaterThan(1024 ** 2);
    progress.close();
    expect(text().stderr.replaceAll(/[^x]/g, '').length).toBe(100 * 16_384);
  });

  test('on a terminal a running step is seen, and nothing of it stays', async () => {
    const { io, text } = bufferedIo({ terminal: { stderr: true } });
    let now = 0;
    const progress = await openProgress(io, () => now);
    progress.event({ kind: 'step', id: 'b', title: 'open the encrypted volume', state: 'start' });
    now = 2000;
    progress.event({ kind: 'progress', id: 'b', done: 1024 ** 2, total: 4 * 1024 ** 2, unit: 'bytes' });
    expect(text().stderr).toContain('open the encrypted volume');
    expect(text().stderr).toContain('1M of 4M (25%)');
    progress.event({ kind: 'step', id: 'b', title: 'open the encrypted volume', state: 'done', ms: 2412 });
    progress.close();
    expect(text().stderr).toContain('\u001b[32m✓\u001b[39m open the encrypted volume \u001b[2m2.4s\u001b[22m\n');
  });

  test('elsewhere a long step says that it is still at it', async () => {
    vi.useFakeTimers();
    const { io, text } = bufferedIo();
    const progress = await openProgress(io, Date.now);
    progress.event({ kind: 'step', id: 'b', title: 'install packages', state: 'start' });
    await vi.advanceTimersByTimeAsync(31_000);
    progress.close();
    vi.useRealTimers();
    expect(text().stderr).toBe('… install packages 15.0s\n… install packages 30.0s\n');
  });
});

test.each([
  [{ done: 0, total: 100, unit: 'items' as const }, 0, '0 of 100 (0%)'],
  [{ done: 50, total: 100, unit: 'items' as const }, 10_000, '50 of 100 (50%), 5/s, 10.0s left'],
  [{ done: 10 * 1024 ** 2, unit: 'bytes' as const }, 2000, '10M, 5M/s'],
  [{ done: 1024, total: 0, unit: 'bytes' as const }, 100, '1K'],
  [{ done: 100, total: 100, unit: 'items' as const }, 1000, '100 of 100 (100%), 100/s'],
])('%j after %i ms: %s', (event, elapsed, text) => {
  expect(describeTransfer({ id: 'x', ...event }, elapsed)).toBe(text);
});

test.each([
  ['plain', false, 'plain'],
  ['\u001b[31mred\u001b[0m', false, 'red'],
  ['\u001b[31mred', true, '\u001b[31mred\u001b[0m'],
  ['\u001b[2J\u001b[Hgone\u0007', true, 'gone'],
  ['a\tb\u0000', false, 'a\tb'],
  ['10%\r20%\r', false, '20%'],
])('%j shown with colours %s', (text, colours, shown) => {
  expect(cleanLine(text, colours)).toBe(shown);
});
