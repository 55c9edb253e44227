// A whole command in process: words in, what a person or a program would see out. Nothing leaves the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { onTestFinished } from 'vitest';
import type { Ask } from '../../src/cli/ask.ts';
import type { ContextDeps } from '../../src/cli/context.ts';
import { createIo, type Io, type IoOptions, type Streams } from '../../src/cli/io.ts';
import { run } from '../../src/cli/run.ts';
import type { HostKey } from '../../src/cli/ssh/host-keys.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { Secret } from '../../src/protocol/secret.ts';
import type { FakeMachine } from './fake-agent.ts';

export interface Terminal {
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
}

export interface CliResult {
  stdout: string;
  stderr: string;
  exitCode: number;
  /** stdout as the document it should be. */
  json(): unknown;
}

export interface CliWorld {
  /** By the name under which the config knows them. */
  machines?: Record<string, FakeMachine>;
  hostKeys?: readonly HostKey[];
  /** What a person answers, in order. */
  answers?: readonly string[];
  terminal?: Terminal;
  stdin?: string;
  env?: NodeJS.ProcessEnv;
  configDir: string;
  signal?: AbortSignal;
  /** A person presses Ctrl-C a second time. */
  secondInterrupt?: boolean;
  replace?: ContextDeps['replace'];
}

export const HOST_KEY: HostKey = {
  type: 'ssh-ed25519',
  key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDqAdVYQuqcqmUQBlzWvUjFWpbRjGVNmWQ3gsbGhTzJB',
  fingerprint: 'SHA256:Vnf4aZlWqgp4a3uI9KAhcOIVyPzL2hVVq5kLFMsHcB4',
};

/** A directory that is gone after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'rdc-cli-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export async function runCli(argv: readonly string[], world: CliWorld): Promise<CliResult> {
  const { streams, text } = bufferedStreams(world.terminal, world.stdin);
  const exitCode = await run(argv, {
    streams,
    env: { HOME: world.configDir, PATH: process.env.PATH, ...world.env, REDIACC_CONFIG_DIR: world.configDir },
    cwd: world.configDir,
    version: '0.1.0',
    ...{ agentBundle: '/nonexistent/renet.mjs', program: ['rdc'] },
    signal: world.signal ?? new AbortController().signal,
    interruptedAgain: async () => world.secondInterrupt === true,
    now: () => 1_700_000_000_000,
    replace: {
      connect: async (target, mode = 'use') => {
        const machine = world.machines?.[target.name];
        if (machine === undefined) throw new RdcError('UNREACHABLE', `cannot reach machine "${target.name}"`);
        if (!machine.setUp && mode === 'use')
          throw new RdcError('NOT_SET_UP', `machine "${target.name}" is not set up`);
        return machine.connect();
      },
      pause: async () => undefined,
      scanHostKeys: async () => [...(world.hostKeys ?? [HOST_KEY])],
      ask: scripted(world.answers ?? []),
      ...world.replace,
    },
  });
  const { stdout, stderr } = text();
  return { stdout, stderr, exitCode, json: () => JSON.parse(stdout) };
}

/** A person who gives these answers; one question too many is a failure of the test. */
export function scripted(answers: readonly string[]): Ask {
  const left = [...answers];
  const next = async (question: string) => {
    const answer = left.shift();
    if (answer === undefined) throw new Error(`nobody expected the question ${JSON.stringify(question)}`);
    return answer;
  };
  return {
    confirm: async (question) => (await next(question)) === 'yes',
    text: next,
    passphrase: next,
    secret: async (question) => new Secret(await next(question)),
  };
}

export function bufferedIo(options: Partial<IoOptions> & { terminal?: Terminal } = {}): {
  io: Io;
  text(): { stdout: string; stderr: string };
} {
  const { terminal, ...rest } = options;
  const { streams, text } = bufferedStreams(terminal);
  return { io: createIo(streams, { json: false, quiet: false, verbose: false, color: true, ...rest }, {}), text };
}

function bufferedStreams(
  terminal: Terminal = {},
  input = '',
): { streams: Streams; text(): { stdout: string; stderr: string } } {
  const stdin = new PassThrough();
  stdin.end(input);
  const out = collector(terminal.stdout === true);
  const err = collector(terminal.stderr === true);
  const streams = {
    stdin: Object.assign(stdin, { isTTY: terminal.stdin === true }),
    stdout: out.stream,
    stderr: err.stream,
  };
  return { streams, text: () => ({ stdout: out.text(), stderr: err.text() }) };
}

function collector(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 80, rows: 24 });
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { stream, text: () => text };
}
