// `rdc repo compose` from the client's streams to the unit's and back, over a real socket; the unit is a bash of the test.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { serveCompose } from '../../src/agent/compose-stream.ts';
import { serveSession } from '../../src/agent/session.ts';
import type { AgentAccess } from '../../src/cli/ssh/access.ts';
import { type ComposeRequest, composeOverSsh, StreamRefused } from '../../src/cli/ssh/compose-session.ts';
import { command } from '../../src/lifecycle/command.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { AgentStream } from '../../src/protocol/hello.ts';
import type { RepoName } from '../../src/protocol/ids.ts';
import type { TerminalSize } from '../../src/protocol/terminal.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';

let directory: string;
let server: Server | undefined;
/** What the agent was asked for. */
let asked: AgentStream[];
/** What it called, by its arguments. */
let ran: string[];
/** A process in the unit with the terminal /dev/pts/3. */
const UNIT_FILES = { '/sys/fs/cgroup/x.service/cgroup.procs': '12\n', '/proc/12/stat': '12 (sh) S 1 12 12 34819 12' };
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rdc-compose-'));
  asked = [];
  ran = [];
});
afterEach(async () => {
  server?.close();
  await rm(directory, { recursive: true, force: true });
});

const REQUEST: ComposeRequest = { repo: 'shop' as RepoName, words: ['ps', ''], directory: 'my app' };

/** An agent whose unit is this script; `systemctl stop` is a signal to it, by the file with its pid. */
async function listen(script: string, refusal?: RdcError): Promise<string> {
  const path = join(directory, 'agent.sock');
  const run = command('/bin/bash', '--noprofile', '--norc', '-c', `echo $$ >${directory}/pid; ${script}`);
  const system = scriptedSystem(({ args }) => {
    if (args[0] === 'show') return { stdout: '/x.service\n' };
    ran.push(args.join(' '));
    if (args[0] === 'stop') spawn('/bin/bash', ['-c', `kill -INT $(cat ${directory}/pid)`]);
    return {};
  }, UNIT_FILES);
  server = createServer({ allowHalfOpen: true }, (socket) => {
    const deps = {
      runs: {} as never,
      queries: {} as never,
      createSystem: () => system,
      ...{
        version: '0.1.0',
        bundle: 'b',
        isSetUp: async () => true,
        rolledBack: async () => undefined,
        log: () => undefined,
      },
      serveUpgrade: async () => undefined,
      async openStream(stream: AgentStream) {
        asked.push(stream);
        if (refusal !== undefined) throw refusal;
        const call = { unit: 'rediacc-compose-test.service', run };
        return (line: typeof socket) => serveCompose(line, call, { system, log: () => undefined });
      },
    };
    void serveSession(socket, deps as never);
  });
  await new Promise<void>((resolve) => server?.listen(path, resolve));
  return path;
}

function accessTo(path: string, signal?: AbortSignal): AgentAccess {
  return {
    ...{ version: '0.1.0', actor: 'test', tty: false, signal, report: () => undefined },
    target: { machine: 'prod', host: 'h', port: 22, user: 'u', hostKeys: [] },
    bundle: async () => ({ sha256: 'b' }) as never,
    nodeRuntime: async () => Promise.reject(new Error('not here')),
    transport: {
      name: 'openssh',
      open() {
        const socket = createConnection({ path, allowHalfOpen: true });
        const ended = new Promise<{ exitCode: number }>((resolve) =>
          socket.once('close', () => resolve({ exitCode: 0 })),
        );
        signal?.addEventListener('abort', () => socket.destroy());
        return { stdin: socket, stdout: socket, stderrText: () => '', ended, close: () => socket.destroy() };
      },
    },
  };
}

interface Said {
  exitCode: number;
  stdout: Buffer;
  stderr: string;
}

async function compose(script: string, stdin: string | Buffer | undefined = ''): Promise<Said> {
  const input = new PassThrough();
  if (stdin !== undefined) input.end(stdin);
  const streams = { stdin: input, stdout: new PassThrough(), stderr: new PassThrough() };
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  streams.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  streams.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const exitCode = await composeOverSsh(accessTo(await listen(script)), REQUEST, streams);
  return { exitCode, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() };
}

describe('rdc repo compose', () => {
  test('asks for what was typed, as it was typed', async () => {
    await compose('exit 0');
    expect(asked).toEqual([{ kind: 'compose', ...REQUEST }]);
  });

  test.each([0, 1, 14, 125, 130, 255])('ends with %i where compose does', async (code) => {
    expect((await compose(`exit ${code}`)).exitCode).toBe(code);
  });

  test('keeps stdout and stderr apart, and every byte', async () => {
    const { stdout, stderr } = await compose(
      'printf "out\\0\\xff\\r\\n"; printf err >&2; printf more; exec 1>&-; printf " end" >&2',
    );
    expect([stdout.toString('latin1'), stderr]).toEqual(['out\0\u00ff\r\nmore', 'err end']);
  });

  test('carries 20 MB of each', async () => {
    const { stdout, stderr } = await compose('head -c 20000000 /dev/zero >&2 & head -c 20000000 /dev/zero; wait');
    expect([stdout.length, stderr.length]).toEqual([20_000_000, 20_000_000]);
  });

  test('carries stdin and its end', async () => {
    const text = Buffer.alloc(3_000_000, 'x');
    expect((await compose('wc -c', text)).stdout.toString().trim()).toBe('3000000');
  });

  test('ends although its stdin is still open', async () => {
    expect((await compose('echo done; exit 4', undefined)).exitCode).toBe(4);
  });

  test.each([
    ['open', undefined],
    ['at its end', ''],
  ])('Ctrl-C ends what runs there, with stdin %s', async (_, stdin) => {
    const script = `trap 'echo stopped >${directory}/end; exit 0' INT; echo running; while :; do sleep 0.05; done`;
    const controller = new AbortController();
    const input = new PassThrough();
    if (stdin !== undefined) input.end(stdin);
    const stdout = new PassThrough();
    stdout.on('data', () => setTimeout(() => controller.abort(), 100));
    const streams = { stdin: input, stdout, stderr: new PassThrough() };
    const running = composeOverSsh(accessTo(await listen(script), controller.signal), REQUEST, streams);
    await expect(running).rejects.toMatchObject({ code: 'INTERRUPTED' });
    const end = () => readFile(join(directory, 'end'), 'utf8').catch(() => '');
    await expect.poll(end, { timeout: 4000 }).toBe('stopped\n');
  });

  test('a terminal is lent from the beginning to the end, and its new sizes reach the unit', async () => {
    const script = `echo begun; until [[ -e ${directory}/resized ]]; do sleep 0.02; done; exit 6`;
    const lent: string[] = [];
    const streams = {
      ...{ stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() },
      lendTerminal(onSize: (size: TerminalSize) => void) {
        lent.push('lent');
        onSize({ columns: 120, rows: 40 });
        return () => void lent.push('given back');
      },
    };
    const request = { ...REQUEST, terminal: { columns: 101, rows: 33, name: 'xterm' } };
    const running = composeOverSsh(accessTo(await listen(script)), request, streams);
    await expect.poll(() => ran).toEqual(['-F /dev/pts/3 rows 40 columns 120']);
    expect(lent).toEqual(['lent']);
    await writeFile(join(directory, 'resized'), '');
    expect(await running).toBe(6);
    expect(lent).toEqual(['lent', 'given back']);
    expect(asked).toEqual([{ kind: 'compose', ...request }]);
  });

  test('a refusal of the agent is told as such', async () => {
    const path = await listen('', new RdcError('NOT_FOUND', 'there is no repository "shop"'));
    const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    const refused = composeOverSsh(accessTo(path), REQUEST, streams);
    const error = await refused.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StreamRefused);
    expect(error).toMatchObject({ reason: { code: 'NOT_FOUND' }, otherAgent: false });
  });
});
