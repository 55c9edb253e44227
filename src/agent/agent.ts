// The agent put together: handlers, runs, streams and upgrades over one state directory. `daemon.ts` and `stdio.ts`
// serve it; tests give it a directory and handlers of their own.
import type { Duplex } from 'node:stream';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import { agentVersion } from './agent-version.ts';
import { openCompose } from './compose-stream.ts';
import { createHandlers } from './create-handlers.ts';
import { endFunctions, functionRuns } from './function-units.ts';
import { AGENT_LAUNCHER, LIB_DIR, LOCK_DIR, ROLLED_BACK_FILE, RUNS_DIR } from './layout.ts';
import { createLinuxSystem } from './linux-system.ts';
import { readMachine } from './machine-record.ts';
import { identifyProcess, type ProcessIdentity } from './process-identity.ts';
import { openRsync } from './rsync-stream.ts';
import { createRuns } from './run-registry.ts';
import { runSubjects } from './run-subjects.ts';
import type { Runs } from './runs.ts';
import type { SessionDeps } from './session.ts';
import { Supervisor } from './supervisor.ts';
import { receiveUpgrade } from './upgrade.ts';

/** true in test builds alone (scripts/build.mjs). */
declare const __FAULT_HOOK__: boolean;

export interface AgentHooks {
  /** sha-256 of the running bundle, hex. */
  bundle: string;
  log(message: string): void;
  stopAccepting(): void;
  /** Another bundle is in place and no run goes on: make room for it. */
  onReplaced(): void;
}

export interface Agent extends SessionDeps {
  supervisor: Supervisor;
  /** Resolves when no run and no file transfer goes on. */
  settle(): Promise<void>;
  /** Ends the agent for the bundle that is installed now, when no run and no file transfer goes on. */
  makeRoom(): Promise<void>;
}

export async function createAgent({ bundle, log, ...hooks }: AgentHooks): Promise<Agent> {
  const createSystem = (signal?: AbortSignal) => createLinuxSystem(signal === undefined ? {} : { signal });
  // Decided by the build, and imported only there: the hook is in no bundle that ships.
  const hooked = __FAULT_HOOK__ ? (await import('./fault-hook.ts')).withFaultHook : (system: System) => system;
  const handlers = createHandlers({
    busy: (guid) => runs.busy(guid),
    supervision: { attention: (guid) => supervisor.attention(guid), report: () => supervisor.report() },
    runs: {
      start: (request) => runs.start(request),
      follow: (run, following) => runs.follow(run, following),
      cancel: (run, actor) => runs.cancel(run, actor),
      list: (limit) => runs.list(limit),
    },
    giveUp: (repo, reason) => supervisor.giveUp(repo, reason),
  });
  const runs: Runs = createRuns({
    handlers,
    runsDir: RUNS_DIR,
    lockDir: LOCK_DIR,
    self: await ownIdentity(),
    createSystem: (signal) => hooked(createSystem(signal)),
    subjectsOf: (operation, input) => runSubjects(createSystem(), operation, input),
    endUnits: (run) => endFunctions(createSystem(), run),
    unitRuns: () => functionRuns(createSystem()),
    onBegan: (begun) => supervisor.began(begun),
    onEnded: (end) => supervisor.ended(end),
    log,
  });
  const supervisor: Supervisor = new Supervisor({ runs, createSystem, lockDir: LOCK_DIR, log, now: Date.now });
  await supervisor.load();
  const transfers = new Set<Promise<void>>();
  /** Until they are answered. */
  const upgrades = new Set<Promise<unknown>>();
  const workDone = () => Promise.all([runs.settle(), ...transfers, ...upgrades]);
  const settle = async () => {
    // First, since it may have begun a run itself.
    await supervisor.stop();
    await workDone();
    await supervisor.stopLast();
  };
  // Its successor starts with the next connection, or when this one has gone, and supervises then.
  const makeRoom = async () => {
    if (runs.active() + transfers.size + upgrades.size === 0) hooks.stopAccepting();
    // Which may take hours: until then what is up is watched on.
    await workDone();
    hooks.stopAccepting();
    // What came in just before.
    await settle();
    hooks.onReplaced();
  };
  return {
    runs,
    supervisor,
    settle,
    makeRoom,
    queries: { ...handlers, 'run.list': async ({ limit }) => ({ runs: await runs.list(limit) }) },
    createSystem,
    version: agentVersion,
    bundle,
    log,
    isSetUp: () => isSetUp(createSystem()),
    rolledBack: async () => (await createSystem().readFile(ROLLED_BACK_FILE))?.trim(),
    async openStream(stream, actor) {
      const deps = { actor, system: createSystem(), lockDir: LOCK_DIR, log };
      const carry = await (stream.kind === 'rsync' ? openRsync(stream, deps) : openCompose(stream, deps));
      return (socket) => {
        const transfer = carry(socket).finally(() => transfers.delete(transfer));
        transfers.add(transfer);
        return transfer;
      };
    },
    async serveUpgrade(socket: Duplex, upgrade) {
      const answered = receiveUpgrade(socket, upgrade, {
        libDir: LIB_DIR,
        launcher: AGENT_LAUNCHER,
        node: process.execPath,
        run: (wanted) => createSystem().run(wanted),
        // Itself not counted.
        activeRuns: () => runs.active() + transfers.size + upgrades.size - 1,
        stopAccepting: hooks.stopAccepting,
      }).then(async (reply) => {
        await new Promise((resolve) => socket.end(`${JSON.stringify(reply)}\n`, () => resolve(undefined)));
        return reply;
      });
      upgrades.add(answered);
      const reply = await answered.finally(() => upgrades.delete(answered));
      if (reply.upgraded) await makeRoom();
    },
  };
}

async function ownIdentity(): Promise<ProcessIdentity> {
  const self = await identifyProcess(process.pid);
  if (self === undefined) throw new RdcError('HOST_NOT_SUITABLE', '/proc is not mounted');
  return self;
}

/** A record that is damaged was written by a setup all the same; who needs it is told what is wrong with it. */
async function isSetUp(system: System): Promise<boolean> {
  try {
    return (await readMachine(system)) !== undefined;
  } catch (error) {
    if (error instanceof RdcError && error.code === 'CONFIG_INVALID') return true;
    throw error;
  }
}
