// `renet daemon`: socket activated by rediacc-agent.socket. Holds the runs; everything else it asks the machine anew.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { command } from '../lifecycle/command.ts';
import { agentVersion } from './agent-version.ts';
import { createHandlers } from './create-handlers.ts';
import type { QueryHandlers } from './handlers.ts';
import { AGENT_LAUNCHER, LIB_DIR, LOCK_DIR, RUNS_DIR } from './layout.ts';
import { createLinuxSystem } from './linux-system.ts';
import { readMachine } from './machine-record.ts';
import { serveRsync } from './rsync-stream.ts';
import { runSubjects } from './run-subjects.ts';
import { createRuns, type Runs } from './runs.ts';
import { type SessionDeps, serveSession } from './session.ts';
import { receiveUpgrade } from './upgrade.ts';

/** The first file descriptor that systemd passes (sd_listen_fds(3)). */
const LISTEN_FD = 3;

/** Everything that a session needs; `onUpgraded` is called when the new bundle should take over. */
export async function createSessionDeps(hooks: { stopAccepting(): void; onUpgraded(): void }): Promise<SessionDeps> {
  const createSystem = (signal?: AbortSignal) => createLinuxSystem(signal === undefined ? {} : { signal });
  const busy = (guid: string) => {
    const owner = runs.busy(guid);
    return owner === undefined
      ? undefined
      : { run: owner.run, operation: owner.operation, actor: owner.actor, since: owner.since };
  };
  const handlers = createHandlers({ busy });
  const runs: Runs = createRuns({
    handlers,
    runsDir: RUNS_DIR,
    lockDir: LOCK_DIR,
    createSystem,
    subjectsOf: (operation, input) => runSubjects(createSystem(), operation, input),
  });
  const queries: QueryHandlers = { ...handlers, 'run.list': async ({ limit }) => ({ runs: await runs.list(limit) }) };
  await runs.markInterrupted();
  return {
    runs,
    queries,
    createSystem,
    version: agentVersion,
    bundle: createHash('sha256')
      .update(await readFile(process.argv[1] ?? ''))
      .digest('hex'),
    isSetUp: async () => (await readMachine(createSystem())) !== undefined,
    serveStream: (socket, hello, answer) => serveRsync(socket, hello, answer, createSystem()),
    async serveUpgrade(socket: Duplex, upgrade) {
      const system = createSystem();
      const reply = await receiveUpgrade(socket, upgrade, {
        libDir: LIB_DIR,
        launcher: AGENT_LAUNCHER,
        node: process.execPath,
        run: (wanted) => system.run(wanted),
        activeRuns: () => runs.active(),
        stopAccepting: hooks.stopAccepting,
      });
      await new Promise((resolve) => socket.end(`${JSON.stringify(reply)}\n`, () => resolve(undefined)));
      if (reply.upgraded && reply.restarted) hooks.onUpgraded();
      if (reply.upgraded && !reply.restarted) void runs.settle().then(hooks.onUpgraded);
    },
  };
}

/** Serves until it is told to end; then lets its runs finish. */
export async function runDaemon(): Promise<void> {
  const server = createServer({ allowHalfOpen: true });
  const finish = () => process.exit(0);
  const deps = await createSessionDeps({ stopAccepting: () => server.close(), onUpgraded: finish });
  await endOrphanedFunctions();
  server.on('connection', (socket) => void serveSession(socket, deps));
  await listen(server);
  process.once('SIGTERM', () => {
    server.close();
    void deps.runs.settle().then(finish);
  });
}

/** Functions of a daemon that died are ended before anything new begins (SPEC section 8). */
async function endOrphanedFunctions(): Promise<void> {
  await createLinuxSystem().run({ ...command('systemctl', 'stop', 'rediacc-function-*.service'), allow: [1, 5] });
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd: LISTEN_FD }, resolve);
  });
}
