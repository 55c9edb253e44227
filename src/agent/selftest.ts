// `renet selftest`: what a new agent must pass before it takes over: this Node is new enough, every module loads, files
// can be written, programs started and locks taken.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command } from '../lifecycle/command.ts';
import { messageOf } from '../protocol/errors.ts';
import type { RunId } from '../protocol/ids.ts';
import { OPERATIONS } from '../protocol/operations.ts';
import { agentVersion } from './agent-version.ts';
import { createHandlers } from './create-handlers.ts';
import { UNIT_RUN } from './function-units.ts';
import { createLinuxSystem } from './linux-system.ts';
import { acquireLock } from './lock.ts';

/** package.json engines */
const OLDEST_NODE = [20, 19] as const;

/** The exit code; what failed is said on stderr. */
export async function selftest(): Promise<number> {
  const problem = await findProblem();
  if (problem === undefined) {
    process.stdout.write(`renet ${agentVersion} on Node ${process.versions.node}: ok\n`);
    return 0;
  }
  process.stderr.write(`renet ${agentVersion}: ${problem}\n`);
  return 1;
}

/** Handlers are made here and never called. */
const never = () => Promise.reject(new Error('the self-test starts no run'));
const NO_SUPERVISION = { attention: () => undefined, report: never };
const NO_RUNS = { start: never, follow: never, cancel: never, list: never };

async function findProblem(): Promise<string | undefined> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = OLDEST_NODE;
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    return `needs Node ${OLDEST_NODE.join('.')} or newer, this is ${process.versions.node}`;
  }
  const handlers = createHandlers({
    busy: () => undefined,
    supervision: NO_SUPERVISION,
    runs: NO_RUNS,
    giveUp: () => undefined,
  });
  const missing = Object.keys(OPERATIONS).filter((name) => !name.startsWith('run.') && !Object.hasOwn(handlers, name));
  if (missing.length > 0) return `no handler for ${missing.join(', ')}`;
  // Everything that the other commands load lazily.
  await Promise.all([
    import('./daemon.ts'),
    import('./stdio.ts'),
    import('./install-units.ts'),
    import('./connect.ts'),
  ]);
  const directory = await mkdtemp(join(tmpdir(), 'renet-selftest-'));
  try {
    return await tryOut(directory);
  } catch (error) {
    return messageOf(error);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function tryOut(directory: string): Promise<string | undefined> {
  const system = createLinuxSystem();
  await system.writeFile(`${directory}/file`, 'written', 0o600);
  const { stdout } = await system.run(command('cat', `${directory}/file`));
  if (stdout !== 'written') return 'a file does not hold what was written into it';
  const run = `${UNIT_RUN}${randomBytes(4).toString('hex')}` as RunId;
  const owner = { run, operation: 'selftest', actor: 'renet' };
  const lock = await acquireLock({ directory, key: 'selftest', subject: 'the self-test', owner, waitMs: 0 });
  await lock.release();
  return undefined;
}
