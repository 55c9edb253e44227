// An agent as a process of its own, so that it can be killed. `repo.up` says lines, starts a child that outlives it, and
// waits. Words: directory, socket.
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Handlers } from '../../src/agent/handlers.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { identifyProcess } from '../../src/agent/process-identity.ts';
import { createRuns } from '../../src/agent/run-registry.ts';
import { serveSession } from '../../src/agent/session.ts';

const [directory = '', socketPath = ''] = process.argv.slice(2);

const handlers: Partial<Handlers> = {
  'repo.up': async (_input, { report, system }) => {
    for (let index = 1; index <= 5; index++) {
      report({ kind: 'output', source: 'root up', stream: 'stdout', text: String(index) });
    }
    await system.sleep(60_000);
    return { outcome: 'done' };
  },
};

const self = await identifyProcess(process.pid);
if (self === undefined) throw new Error('no /proc');
const log = (message: string) => void process.stderr.write(`${message}\n`);
const runs = createRuns({
  handlers: handlers as Handlers,
  runsDir: join(directory, 'runs'),
  lockDir: join(directory, 'locks'),
  self,
  createSystem: (signal) => createLinuxSystem({ signal }),
  subjectsOf: async () => [{ key: 'shop', subject: '"shop"', repo: 'shop' }],
  unitRuns: async () => [],
  endUnits: async (run) => void process.stdout.write(`ended units of ${run}\n`),
  log,
});
await runs.recover();
const server = createServer({ allowHalfOpen: true });
server.on(
  'connection',
  (socket) =>
    void serveSession(socket, {
      runs,
      queries: { ...(handlers as Handlers), 'run.list': async ({ limit }) => ({ runs: await runs.list(limit) }) },
      createSystem: (signal) => createLinuxSystem(signal === undefined ? {} : { signal }),
      version: '0.1.0',
      bundle: 'ab'.repeat(32),
      isSetUp: async () => true,
      rolledBack: async () => undefined,
      openStream: async () => async (stream) => {
        stream.pipe(stream, { end: false });
        await new Promise((resolve) => stream.once('end', resolve));
      },
      serveUpgrade: async () => undefined,
      log,
    }),
);
server.listen(socketPath, () => process.stdout.write('listening\n'));
