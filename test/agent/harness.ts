// An agent in a directory of its own, with handlers of the test's, on a real socket; and rdc's own client to talk to it.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Handlers, RunContext } from '../../src/agent/handlers.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { identifyProcess } from '../../src/agent/process-identity.ts';
import { createRuns } from '../../src/agent/run-registry.ts';
import type { Runs, RunsDeps } from '../../src/agent/runs.ts';
import { type SessionDeps, serveSession } from '../../src/agent/session.ts';
import type { AgentClient } from '../../src/cli/agent-client.ts';
import { agentLink } from '../../src/cli/ssh/agent-link.ts';
import { clientHello, exchangeHello } from '../../src/cli/ssh/hello.ts';
import type { SshSession } from '../../src/cli/ssh/transport.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { ClientHello } from '../../src/protocol/hello.ts';

export const GUID = '11111111-1111-4111-8111-111111111111';

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'rdc-agent-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** What a handler of `repo.up` answers. */
export function upOutput() {
  return { name: 'shop', guid: GUID, state: 'up', changed: true, services: [], directories: [], failed: [] } as const;
}

/** `repo.up` as the test wants it; nothing else is there. */
export function upHandler(work: (context: RunContext) => Promise<void>): Partial<Handlers> {
  return {
    'repo.up': async (_input, context) => {
      await work(context);
      return { outcome: 'done', output: upOutput() as never };
    },
  };
}

export async function runsIn(directory: string, handlers: Partial<Handlers>, more: Partial<RunsDeps> = {}) {
  const self = await identifyProcess(process.pid);
  if (self === undefined) throw new Error('no /proc');
  const troubles: string[] = [];
  const runs = createRuns({
    handlers: handlers as Handlers,
    runsDir: join(directory, 'runs'),
    lockDir: join(directory, 'locks'),
    self,
    createSystem: (signal) => createLinuxSystem({ signal, killAfterMs: 300 }),
    subjectsOf: async (_operation, input) => {
      const { repo } = input as { repo: string };
      if (repo === 'nowhere') throw new RdcError('NOT_FOUND', 'there is no repository "nowhere" on this machine');
      return [{ key: repo === 'shop' ? GUID : repo, subject: JSON.stringify(repo), repo }];
    },
    endUnits: async () => undefined,
    unitRuns: async () => [],
    log: (message) => troubles.push(message),
    ...more,
  });
  onTestFinished(() => runs.settle());
  return { runs, troubles };
}

export interface TestAgent {
  runs: Runs;
  socketPath: string;
  troubles: string[];
}

export async function agentIn(
  directory: string,
  handlers: Partial<Handlers>,
  more: Partial<SessionDeps> & { runsDeps?: Partial<RunsDeps> } = {},
): Promise<TestAgent> {
  const { runs, troubles } = await runsIn(directory, handlers, more.runsDeps);
  const deps: SessionDeps = {
    runs,
    queries: { ...(handlers as Handlers), 'run.list': async ({ limit }) => ({ runs: await runs.list(limit) }) },
    createSystem: (signal) => createLinuxSystem(signal === undefined ? {} : { signal }),
    version: '0.1.0',
    bundle: 'ab'.repeat(32),
    isSetUp: async () => true,
    rolledBack: async () => undefined,
    openStream: async () => {
      throw new RdcError('FAILED', 'repository "shop" is closed', { hint: 'rdc repo mount shop' });
    },
    serveUpgrade: async () => undefined,
    log: (message) => troubles.push(message),
    ...more,
  };
  const server = createServer({ allowHalfOpen: true });
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    void serveSession(socket, deps);
  });
  const socketPath = join(directory, 'agent.sock');
  server.listen(socketPath);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { runs, socketPath, troubles };
}

export interface TestClient extends AgentClient {
  socket: Socket;
}

/** rdc's own client over the socket, where a person would have ssh in between. */
export async function connectTo(socketPath: string, actor = 'anna@laptop'): Promise<TestClient> {
  const { session, socket } = await openSocket(socketPath);
  const hello = await exchangeHello(session, clientHello({ version: '0.1.0', actor }, { type: 'rpc' }), {
    target: TARGET,
    right: 'connect',
    launcher: '/usr/bin/renet',
    timeoutMs: 5000,
  });
  const link = agentLink(session, TARGET, hello);
  onTestFinished(() => link.close());
  return Object.assign(link, { socket });
}

/** One line to the agent, all lines back until it hangs up. */
export async function sayHello(socketPath: string, hello: Partial<ClientHello> | string): Promise<string[]> {
  const { socket } = await openSocket(socketPath);
  socket.write(typeof hello === 'string' ? hello : `${JSON.stringify(hello)}\n`);
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text.split('\n').filter((line) => line !== '');
}

const TARGET = { machine: 'prod-1', host: 'test', port: 22, user: 'root', hostKeys: [] };

async function openSocket(path: string): Promise<{ session: SshSession; socket: Socket }> {
  const socket = createConnection({ path, allowHalfOpen: true });
  await once(socket, 'connect');
  onTestFinished(() => void socket.destroy());
  const ended = new Promise<{ exitCode: number }>((resolve) => socket.once('close', () => resolve({ exitCode: 0 })));
  socket.on('error', () => undefined);
  socket.once('end', () => socket.end());
  return {
    socket,
    session: { stdin: socket, stdout: socket, stderrText: () => '', ended, close: () => void socket.destroy() },
  };
}

/** Waits until it is so; the test's own time limit ends it otherwise. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Something that a test lets go on when it likes. */
export function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
