// A small agent that speaks the real contract, bundled by fake-agent-bundle.ts and put onto a server by the code under test.
// What it does with a request is chosen by the operation, so that a test can ask for every kind of answer.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  createMessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node.js';
import { receiveUpgrade } from '../../../src/agent/upgrade.ts';
import { LineReader } from '../../../src/cli/ssh/line-reader.ts';
import { type ClientHello, clientHelloSchema, PROTOCOL_VERSION } from '../../../src/protocol/hello.ts';
import {
  callRequest,
  cancelRequest,
  eventsNotification,
  followRequest,
  heartbeatNotification,
  runRequest,
  startedNotification,
  WIRE_ERROR,
} from '../../../src/protocol/rpc.ts';

import { StreamFramer } from '../../../src/protocol/stream-frames.ts';

declare const __RDC_VERSION__: string;
declare const __FAKE__: {
  fails?: 'selftest' | 'units';
  protocol?: number;
  busy?: boolean;
  launcher: string;
  rolledBack?: string;
};

const self = realpathSync(process.argv[1] ?? '');
/** The launcher is in PREFIX/bin, the bundles in PREFIX/lib/rediacc/versions/V. */
const libDir =
  __FAKE__.launcher === '/nonexistent'
    ? join(dirname(self), '..', '..')
    : join(dirname(__FAKE__.launcher), '..', 'lib', 'rediacc');
const RUN = '0123456789ab-01234567' as never;

async function main(): Promise<void> {
  const verb = process.argv[2];
  if (verb === 'selftest') return leave(__FAKE__.fails === 'selftest' ? 1 : 0);
  if (verb === 'install-units') {
    if (__FAKE__.fails === 'units') return leave(1);
    return appendFileSync(join(libDir, 'units'), `${__RDC_VERSION__} before it: ${wayBack()}\n`);
  }
  if (verb === 'connect' || verb === 'stdio') return await serve();
  leave(2);
}

function wayBack(): string {
  const previous = join(libDir, 'previous');
  return existsSync(previous) ? readlinkSync(previous) : 'nothing';
}

function leave(code: number): void {
  process.stderr.write('the fake agent was told to fail\n');
  process.exitCode = code;
}

async function serve(): Promise<void> {
  const reader = new LineReader(process.stdin);
  const line = (await reader.next()) ?? '';
  reader.release();
  const hello = clientHelloSchema.parse(JSON.parse(line));
  const answer = {
    renet: 1,
    protocol: __FAKE__.protocol ?? PROTOCOL_VERSION,
    version: __RDC_VERSION__,
    bundle: createHash('sha256').update(readFileSync(self)).digest('hex'),
    setUp: existsSync(join(libDir, 'units')),
    ...(__FAKE__.rolledBack === undefined ? {} : { rolledBack: __FAKE__.rolledBack }),
  };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  await session(hello);
}

async function session(hello: ClientHello): Promise<void> {
  if (hello.session.type === 'rpc') return converse();
  if (hello.session.type === 'stream') {
    if (hello.session.stream.kind !== 'rsync') throw new Error('the fake agent only takes files');
    return stream(hello.session.stream);
  }
  const reply = await receiveUpgrade(process.stdin, hello.session, {
    libDir,
    launcher: __FAKE__.launcher,
    node: process.execPath,
    run: (command) =>
      new Promise((resolve, reject) => {
        const child = spawn(command.file, [...command.args], { stdio: 'ignore' });
        child.once('exit', (exitCode) =>
          exitCode === 0
            ? resolve({ exitCode, stdout: '', stderr: '', durationMs: 0 })
            : reject(new Error(`${command.args[1] ?? command.args[0]} failed`)),
        );
      }),
    activeRuns: () => (__FAKE__.busy === true ? 1 : 0),
    stopAccepting: () => undefined,
  });
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

function stream({ argv, directory, repo }: { argv: string[]; directory: string; repo: string }): void {
  const cwd = join(process.env.FAKE_REPOSITORIES ?? '/nonexistent', repo, directory);
  mkdirSync(cwd, { recursive: true });
  const [file = '', ...args] = argv;
  const child = spawn(file, args, { cwd, stdio: ['inherit', 'pipe', 'inherit'] });
  const framer = new StreamFramer();
  framer.pipe(process.stdout);
  child.stdout.pipe(framer, { end: false });
  child.once('close', (code) => framer.finish({ exitCode: code ?? 1 }));
}

function converse(): void {
  const connection = createMessageConnection(
    new StreamMessageReader(process.stdin),
    new StreamMessageWriter(process.stdout),
  );
  connection.onRequest(callRequest, ({ operation, input }) => {
    if (operation === 'run.list') return { runs: [] };
    if (operation === 'repo.list') return { repositories: 'not a list' };
    if (operation === 'repo.verify-credential') {
      const { credential } = input as { credential: string };
      return {
        name: 'shop',
        guid: '00000000-0000-4000-8000-000000000000',
        opens: credential === 'the marked credential',
      };
    }
    if (operation === 'machine.status') return process.exit(7);
    throw new ResponseError(WIRE_ERROR, 'no', {
      code: 'NOT_FOUND',
      message: 'no repository "shop"',
      hint: 'rdc repo list',
    });
  });
  connection.onRequest(runRequest, async ({ operation }) => {
    if (operation === 'repo.mount') {
      throw new ResponseError(WIRE_ERROR, 'busy', { code: 'BUSY', message: '"shop" is being changed' });
    }
    await connection.sendNotification(startedNotification, { run: RUN, operation });
    for (const seq of [1, 2]) await connection.sendNotification(eventsNotification, { events: [outputEvent(seq)] });
    if (operation === 'repo.down') process.exit(9);
    if (operation === 'repo.unmount') {
      return {
        run: RUN,
        outcome: 'failed' as const,
        warnings: [],
        error: { code: 'VOLUME_IN_USE', message: 'in use' },
      };
    }
    const output = { name: 'shop', guid: '00000000-0000-4000-8000-000000000000', changed: true };
    return { run: RUN, outcome: 'done' as const, warnings: ['careful'], output };
  });
  connection.onRequest(followRequest, async ({ after }) => {
    await connection.sendNotification(eventsNotification, { events: [outputEvent(after + 1)] });
    return { run: RUN, outcome: 'done' as const, warnings: [] };
  });
  connection.onRequest(cancelRequest, () => ({ noted: true }));
  connection.listen();
  process.stdin.resume();
  void connection.sendNotification(heartbeatNotification, { at: 0 });
}

function outputEvent(seq: number) {
  const event = { kind: 'output', source: 'root up', stream: 'stdout', text: `line ${seq}\n` } as const;
  return { run: RUN, seq, at: 0, event };
}

await main();
