import { existsSync } from 'node:fs';
import { chmod, readdir, readFile, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { keepTail } from '../../src/agent/output-tail.ts';
import { command } from '../../src/lifecycle/command.ts';
import { exitCodeOf } from '../../src/lifecycle/luks.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { temporaryDirectory, until } from './harness.ts';

const system = createLinuxSystem();

async function failureOf(work: Promise<unknown>): Promise<RdcError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof RdcError) return error;
  throw new Error(`not an RdcError: ${String(error)}`);
}

function isAlive(pid: number): boolean {
  // A zombie counts as dead: whoever has to collect it is not our matter.
  return existsSync(`/proc/${pid}/root`) && existsSync(`/proc/${pid}/exe`);
}

describe('running a program', () => {
  test('gives exit code, both streams and a duration', async () => {
    const result = await system.run({ ...command('sh', '-c', 'echo out; echo err >&2; exit 3'), allow: [3] });
    expect(result).toMatchObject({ exitCode: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(result.durationMs).toBeGreaterThanOrEqual(0);
  });

  test('names command, exit code and last line of stderr when it fails', async () => {
    const error = await failureOf(system.run(command('sh', '-c', 'echo first >&2; echo last >&2; exit 5')));
    expect(error.code).toBe('COMMAND_FAILED');
    expect(error.message).toBe(`"sh -c 'echo first >&2; echo last >&2; exit 5'" failed (exit 5): last`);
    expect(exitCodeOf(error)).toBe(5);
  });

  test('names the program that is missing, and the package that brings it', async () => {
    expect(await failureOf(system.run(command('no-such-program')))).toMatchObject({
      code: 'TOOL_MISSING',
      message: 'the program "no-such-program" is not on this machine',
    });
    const elsewhere = { ...command('true'), cwd: '/no/such/directory' };
    expect(await failureOf(system.run(elsewhere))).toMatchObject({ code: 'COMMAND_FAILED' });
  });

  test('has a minimal environment', async () => {
    const { stdout } = await system.run({ ...command('env'), env: { EXTRA: '1' } });
    expect(stdout.trim().split('\n').sort()).toEqual([
      'EXTRA=1',
      'LC_ALL=C',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
  });

  test('gives stdin as text or secret, else an empty one', async () => {
    expect((await system.run({ ...command('cat'), stdin: new Secret('s3cret') })).stdout).toBe('s3cret');
    expect((await system.run({ ...command('cat'), stdin: 'text' })).stdout).toBe('text');
    expect((await system.run(command('cat'))).stdout).toBe('');
    // A program that does not read it is no error.
    await system.run({ ...command('true'), stdin: 'x'.repeat(1_000_000) });
  });

  test('passes all output on and keeps the last 1 MiB of it', async () => {
    let bytes = 0;
    const count = (_stream: string, chunk: Buffer) => {
      bytes += chunk.length;
    };
    const { stdout } = await system.run(command('sh', '-c', 'seq 1 700000; echo end'), count);
    expect(bytes).toBe(4_788_899);
    expect(stdout.length).toBe(1024 ** 2);
    expect(stdout.endsWith('700000\nend\n')).toBe(true);
  });

  test('keeps less of it where less is wanted, in one piece, however small the pieces were', async () => {
    const { stdout, stderr } = await system.run({ ...command('sh', '-c', 'seq 1 99; echo no >&2'), keptBytes: 5 });
    expect([stdout, stderr]).toEqual(['8\n99\n', 'no\n']);
    const stream = new PassThrough();
    const concat = vi.spyOn(Buffer, 'concat');
    onTestFinished(() => concat.mockRestore());
    const tail = keepTail(stream);
    for (let line = 0; line < 2100; line += 1) stream.write(`${line}\n`);
    expect(tail()).toMatch(/^0\n1\n.*\n2099\n$/s);
    expect(Math.max(...concat.mock.calls.map(([chunks]) => chunks.length))).toBe(1025);
  });

  test('is killed with all its children when it takes too long', async () => {
    const script = 'sleep 100 & echo $! $$; sleep 100';
    const pids: number[] = [];
    const run = system.run({ ...command('sh', '-c', script), timeoutMs: 300 }, (_stream, chunk) => {
      pids.push(...String(chunk).trim().split(' ').map(Number));
    });
    const error = await failureOf(run);
    expect(error.code).toBe('COMMAND_FAILED');
    expect(error.message).toContain('took longer than 0.3 s');
    expect(pids).toHaveLength(2);
    await until(() => !pids.some(isAlive));
  });

  test('does not wait for what it has left behind with its output open', async () => {
    const { stdout } = await system.run(command('sh', '-c', 'echo here; setsid sleep 8 &'));
    expect(stdout).toBe('here\n');
  }, 6000);

  test('takes a limit beyond what a timer can count as none', async () => {
    await system.run({ ...command('true'), timeoutMs: 2 ** 40 });
    await system.run({ ...command('true'), timeoutMs: Number.POSITIVE_INFINITY });
  });
});

describe('cancelling', () => {
  test('ends the whole tree, also children that ignore SIGTERM, and forbids more', async () => {
    const controller = new AbortController();
    const cancelled = createLinuxSystem({ signal: controller.signal, killAfterMs: 200 });
    const pids: number[] = [];
    const script = `sh -c 'trap "" TERM; echo $$; sleep 100 & echo $!; wait; sleep 100' & echo $$; wait`;
    const run = cancelled.run(command('sh', '-c', script), (_stream, chunk) => {
      pids.push(...String(chunk).trim().split('\n').map(Number));
      if (pids.length >= 3) controller.abort();
    });
    const error = await failureOf(run);
    expect(error.code).toBe('CANCELLED');
    // Else a pass would take it for a function that failed, and go on.
    expect(exitCodeOf(error)).toBeUndefined();
    await until(() => !pids.some(isAlive));
    expect(await failureOf(cancelled.run(command('true')))).toMatchObject({ code: 'CANCELLED' });
    expect(await failureOf(cancelled.sleep(10))).toMatchObject({ code: 'CANCELLED' });
  });

  test('says why, where the reason is known', async () => {
    const controller = new AbortController();
    const sleeping = createLinuxSystem({ signal: controller.signal }).sleep(60_000);
    controller.abort(new RdcError('FAILED', 'the lock was lost'));
    expect(await failureOf(sleeping)).toMatchObject({ code: 'FAILED', message: 'the lock was lost' });
  });
});

describe('files', () => {
  test('are written whole, with their mode whatever the umask, and leave nothing beside', async () => {
    const directory = await temporaryDirectory();
    const before = process.umask(0o077);
    try {
      await system.writeFile(join(directory, 'file'), 'one', 0o644);
      await system.makeDirectory(join(directory, 'a/b'), 0o755);
    } finally {
      process.umask(before);
    }
    await system.writeFile(join(directory, 'file'), 'two', 0o640);
    expect(await readFile(join(directory, 'file'), 'utf8')).toBe('two');
    expect((await stat(join(directory, 'file'))).mode & 0o777).toBe(0o640);
    for (const path of ['a', 'a/b']) expect((await stat(join(directory, path))).mode & 0o777).toBe(0o755);
    expect((await readdir(directory)).sort()).toEqual(['a', 'file']);
  });

  test('that cannot be put in place leave nothing', async () => {
    const directory = await temporaryDirectory();
    await system.makeDirectory(join(directory, 'taken'), 0o755);
    await system.writeFile(join(directory, 'taken/inside'), '', 0o600);
    await expect(system.writeFile(join(directory, 'taken'), 'x', 0o600)).rejects.toThrow();
    expect(await readdir(directory)).toEqual(['taken']);
  });

  test('that are absent are an answer', async () => {
    const directory = await temporaryDirectory();
    const absent = join(directory, 'absent');
    expect(await system.readFile(absent)).toBeUndefined();
    expect(await system.list(absent)).toBeUndefined();
    expect(await system.stat(absent)).toBeUndefined();
    expect(await system.stat(join(absent, 'below'))).toBeUndefined();
    await system.remove(absent);
  });

  test('are seen as they are: links as links, names in byte order, sizes on disk', async () => {
    const directory = await temporaryDirectory();
    for (const name of ['b', 'B', 'é', 'a']) await system.writeFile(join(directory, name), name, 0o600);
    await symlink('/nowhere', join(directory, 'link'));
    expect(await system.list(directory)).toEqual(['B', 'a', 'b', 'link', 'é']);
    expect(await system.stat(join(directory, 'link'))).toMatchObject({ kind: 'symlink' });
    await chmod(join(directory, 'a'), 0o4755);
    expect(await system.stat(join(directory, 'a'))).toMatchObject({ kind: 'file', sizeBytes: 1, mode: 0o4755 });
    await system.run(command('truncate', '--size', '1G', join(directory, 'sparse')));
    expect(await system.stat(join(directory, 'sparse'))).toMatchObject({ sizeBytes: 1024 ** 3, allocatedBytes: 0 });
    await system.remove(join(directory, 'link'));
    expect(await system.stat(join(directory, 'link'))).toBeUndefined();
  });
});

describe('what a repository may hold in the place of a file', () => {
  test('a fifo nobody writes to, a device, a directory, a huge file: refused at once', async () => {
    const directory = await temporaryDirectory();
    const fifo = join(directory, 'fifo');
    const huge = join(directory, 'huge');
    await system.run(command('mkfifo', fifo));
    await system.run(command('truncate', '--size=1T', huge));
    for (const path of [fifo, huge, directory, '/dev/zero']) {
      expect((await failureOf(system.readFile(path))).code).toBe('INVALID_INPUT');
    }
    expect(await system.readFile('/proc/self/mountinfo')).toContain(' / ');
  });
});
