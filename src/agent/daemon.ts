// `renet daemon`: socket activated by rediacc-agent.socket. Holds the runs; everything else it asks the machine anew.
import { createHash } from 'node:crypto';
import { readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { messageOf, RdcError } from '../protocol/errors.ts';
import { type Agent, createAgent } from './agent.ts';
import { finishUnits } from './install-units.ts';
import { LOCK_DIR } from './layout.ts';
import { agentDirectories, removeLeftFiles } from './left-files.ts';
import { endLeftPrograms, endLeftStreams, ownCgroup } from './left-programs.ts';
import { readMachine } from './machine-record.ts';
import { serveSession } from './session.ts';

/** The first file descriptor that systemd passes (sd_listen_fds(3)). */
const LISTEN_FD = 3;
const LOOK_AT_FILES_MS = 10_000;

/** Serves until it is told to end; then lets its runs finish. `--socket PATH` in the place of systemd's socket. */
export async function runDaemon(args: readonly string[]): Promise<undefined> {
  const where = listenWhere(args, process.env);
  const server = createServer({ allowHalfOpen: true });
  const log = (message: string) => void process.stderr.write(`${message}\n`);
  const finish = () => process.exit(0);
  const agent = await createAgent({
    bundle: await ownBundle(),
    log,
    stopAccepting: () => server.close(),
    onReplaced: finish,
  });
  // A promise that nobody waited for is a fault of ours, but no reason to break off every run.
  process.on('unhandledRejection', (reason) => log(`unhandled: ${String(reason)}`));
  await endPredecessor(agent.createSystem(), log);
  await agent.runs.recover();
  const isInstalled = 'fd' in where;
  if (isInstalled) await endUpgrade(agent.createSystem(), log);
  const served = isInstalled ? noteServed(log) : () => undefined;
  server.on('connection', (socket) => void serveSession(socket, agent).then(served));
  await listen(server, where);
  await agent.supervisor.start().catch((error: unknown) => log(`supervisor: ${String(error)}`));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      server.close();
      void endOf(agent).then(finish);
    });
  }
  process.on('SIGHUP', () => void agent.makeRoom());
  return undefined;
}

/** Notes beside its bundle that it can serve: agent-roll-back.sh takes one away that never could. */
function noteServed(log: (message: string) => void): () => void {
  // `current` may lead elsewhere by then.
  const flag = realpath(process.argv[1] ?? '').then((bundle) => join(dirname(bundle), 'served'));
  let isNoted = false;
  return () => {
    if (isNoted) return;
    isNoted = true;
    flag
      .then((path) => writeFile(path, ''))
      .catch((error: unknown) => log(`that it serves cannot be noted: ${messageOf(error)}`));
  };
}

/** What a daemon that was killed has left: programs first, for they may still write the files. */
async function endPredecessor(system: System, log: (message: string) => void): Promise<void> {
  const cgroup = await ownCgroup();
  const programs = cgroup === undefined ? [] : await endLeftPrograms(cgroup);
  if (programs.length > 0) log(`left by the daemon before this one, and ended: ${programs.join('; ')}`);
  await endLeftStreams(system).catch((error: unknown) =>
    log(`left by the daemon before this one: ${messageOf(error)}`),
  );
  // A datastore that is broken or hangs must not keep the daemon from serving: it is needed most then.
  const told = endFiles(system).then(
    (files) => files.length > 0 && log(`left by the daemon before this one, and removed: ${files.join(', ')}`),
    (error: unknown) => log(`left by the daemon before this one, and perhaps still there: ${messageOf(error)}`),
  );
  await Promise.race([told, sleep(LOOK_AT_FILES_MS, undefined, { ref: false })]);
}

/** `current` leads to this bundle, and the upgrade that brought it may have been killed before its units were in place. */
async function endUpgrade(system: System, log: (message: string) => void): Promise<void> {
  try {
    const written = await finishUnits(system);
    const why =
      'not as this version has them (by an upgrade that was cut off, or by hand: `systemctl edit` is for that)';
    if (written.length > 0) log(`${why}, and written: ${written.join(', ')}`);
  } catch (error) {
    log(`the units of this agent are not in place: ${messageOf(error)}`);
  }
}

async function endFiles(system: System): Promise<string[]> {
  // A record that is damaged is told to whoever asks for repositories.
  const machine = await readMachine(system).catch(() => undefined);
  const directories = await agentDirectories();
  return removeLeftFiles({ system, lockDir: LOCK_DIR, datastore: machine?.datastore, directories });
}

/** A machine that goes down waits for nobody: what is not finished is undone by the repositories' own units. */
async function endOf(agent: Agent): Promise<void> {
  const isGoingDown = await isMachineStopping(agent.createSystem()).catch(() => false);
  if (isGoingDown) agent.runs.cancelAll(new RdcError('CANCELLED', 'the machine is going down'));
  await agent.settle();
}

async function isMachineStopping(system: System): Promise<boolean> {
  // Exit code 1: any state but "running".
  const { stdout } = await system.run({ ...command('systemctl', 'is-system-running'), allow: [1] });
  return stdout.trim() === 'stopping';
}

type Where = { fd: number } | { path: string };

function listenWhere([option, path]: readonly string[], { LISTEN_PID, LISTEN_FDS }: NodeJS.ProcessEnv): Where {
  if (option === '--socket' && path !== undefined) return { path };
  if (LISTEN_FDS === '1' && LISTEN_PID === String(process.pid)) return { fd: LISTEN_FD };
  throw new RdcError('USAGE', 'systemd has passed no socket: start rediacc-agent.socket, or give --socket PATH');
}

async function listen(server: Server, where: Where): Promise<void> {
  // Left by a daemon that was killed; systemd's own is never touched.
  if ('path' in where) await rm(where.path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
}

/** The CLI compares it with the hash of the one it carries. */
export async function ownBundle(): Promise<string> {
  return createHash('sha256')
    .update(await readFile(process.argv[1] ?? ''))
    .digest('hex');
}
