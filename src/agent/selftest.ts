// `renet selftest`: what a new agent must pass before it takes over: this Node is new enough, every module loads, and
// files can be written and locked.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunId } from '../protocol/ids.ts';
import { agentVersion } from './agent-version.ts';
import { createHandlers } from './create-handlers.ts';
import { createLinuxSystem } from './linux-system.ts';
import { acquireLock } from './lock.ts';

const OLDEST_NODE = [20, 19];

export async function selftest(): Promise<number> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = OLDEST_NODE;
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    process.stderr.write(`renet needs Node ${OLDEST_NODE.join('.')} or newer, this is ${process.versions.node}\n`);
    return 1;
  }
  const handlers = Object.keys(createHandlers({ busy: () => undefined }));
  const directory = await mkdtemp(join(tmpdir(), 'renet-selftest-'));
  try {
    const system = createLinuxSystem();
    await system.writeFile(`${directory}/file`, 'written', 0o600);
    const owner = {
      run: `000000000000-${randomBytes(4).toString('hex')}` as RunId,
      operation: 'selftest',
      actor: 'renet',
      since: Date.now(),
    };
    const lock = await acquireLock({ directory, key: 'selftest', subject: 'the self-test', owner, waitMs: 0 });
    await lock.release();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  process.stdout.write(`renet ${agentVersion} on Node ${process.versions.node}: ${handlers.length} operations, ok\n`);
  return 0;
}
