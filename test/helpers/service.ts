// Real servers for tests: started on a free loopback port, in a directory of their own, ended by their process id.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

export interface Service {
  process: ChildProcess;
  /** Everything it has written so far. */
  output(): string;
  /** Asks it to end and waits; answers with its exit code, null when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface ServiceOptions {
  cwd?: string;
  env?: Record<string, string>;
}

/** A missing program fails the test with the program's name. */
export async function startService(
  argv: readonly [string, ...string[]],
  options: ServiceOptions = {},
): Promise<Service> {
  const [program, ...args] = argv;
  const process = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let written = '';
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      written += chunk.toString();
    });
  }
  await once(process, 'spawn');
  const ended = once(process, 'close');
  return {
    process,
    output: () => written,
    async stop(signal = 'SIGTERM') {
      process.kill(signal);
      await ended;
      return process.exitCode;
    },
  };
}

/** A port of 127.0.0.1 that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}

/** Tries until `attempt` answers something other than undefined; failures count as "not yet". */
export async function eventually<T>(attempt: () => Promise<T | undefined>, timeoutMs = 20_000): Promise<T> {
  const end = Date.now() + timeoutMs;
  let reason: unknown;
  while (Date.now() < end) {
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      reason = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing came within ${timeoutMs} ms`, { cause: reason });
}
