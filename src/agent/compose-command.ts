// `renet compose` and `renet wait` from a root shell inside a mounted repository: the shim that functions have, with the
// same environment, on this terminal.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import { guidSchema } from '../protocol/ids.ts';
import { standaloneEnvironment } from './compose-call.ts';
import { LIB_DIR } from './layout.ts';
import { createLinuxSystem } from './linux-system.ts';
import { requireMachine } from './machine-record.ts';
import { openWorkbench } from './repo-workbench.ts';

/** As docker run has it: not the exit code of what was asked for. */
const OWN_FAILURE = 125;

/** The exit code of compose; 125 where it could not be started. */
export async function composeCommand(words: readonly string[]): Promise<number> {
  try {
    const system = createLinuxSystem();
    const { target, directory } = await repositoryAt(system, process.cwd());
    const environment = await standaloneEnvironment(system, target, directory);
    const { COMPOSE_PROJECT_NAME: chosen } = process.env;
    // bash keeps a PWD that leads here over a link; projects go by the path of the mount.
    const env = { ...process.env, ...environment, PWD: process.cwd() };
    return await runShim(target, words, chosen === undefined ? env : { ...env, COMPOSE_PROJECT_NAME: chosen });
  } catch (error) {
    if (!(error instanceof RdcError)) throw error;
    process.stderr.write(`renet: ${error.message}${error.hint === undefined ? '' : `\n  hint: ${error.hint}`}\n`);
    return OWN_FAILURE;
  }
}

interface Spot {
  target: RepoTarget;
  /** The first-level directory, "" for the mount itself. */
  directory: string;
}

/** Throws NOT_FOUND outside of every repository, FAILED in one whose volume is closed. */
async function repositoryAt(system: System, cwd: string): Promise<Spot> {
  const { datastore } = await requireMachine(system);
  const [guid, directory] = placeIn(datastore, cwd);
  const parsed = guidSchema.safeParse(guid);
  if (!parsed.success) {
    throw new RdcError('NOT_FOUND', `${cwd} does not lie in a repository`, {
      hint: `cd ${datastore}/repos/GUID`,
    });
  }
  const { target, record, observe } = await openWorkbench({ system }, parsed.data);
  const { units } = await observe();
  if (units.docker.active !== 'active') {
    throw new RdcError('FAILED', `the docker daemon of repository "${record.name}" does not run`, {
      hint: `rdc repo up ${record.name}`,
    });
  }
  return { target, directory: directory ?? '' };
}

function placeIn(datastore: string, cwd: string): string[] {
  const top = `${datastore}/repos/`;
  return cwd.startsWith(top) ? cwd.slice(top.length).split('/') : [];
}

/** In the repository's network namespace, where its addresses are its own. */
async function runShim({ net }: RepoTarget, words: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const shim = ['/bin/bash', '--noprofile', '--norc', `${LIB_DIR}/shim/renet`, ...words];
  const child = spawn('nsenter', [`--net=${net.namespacePath}`, '--', ...shim], {
    stdio: 'inherit',
    env,
  });
  // A key on the terminal reaches the child by itself; it decides what comes of it.
  const ignore = () => undefined;
  process.on('SIGINT', ignore);
  process.on('SIGQUIT', ignore);
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (exitCode, name) => resolve([exitCode, name]));
  });
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
