// Builds fake-agent.ts as the real agent is built: one file that needs nothing but Node.
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { AgentBundle } from '../../../src/cli/ssh/agent-bundle.ts';

export interface FakeBehaviour {
  fails?: 'selftest' | 'units';
  protocol?: number;
  /** A run is going on: the daemon cannot be restarted. */
  busy?: boolean;
  launcher?: string;
  /** sha-256 of a bundle that this one was put back for. */
  rolledBack?: string;
}

const SHIM = [
  "import { createRequire as __createRequire } from 'node:module';",
  'const require = __createRequire(import.meta.url);',
  'const __dirname = import.meta.dirname;',
].join(' ');

export async function fakeAgent(version: string, behaviour: FakeBehaviour = {}): Promise<AgentBundle> {
  const content = await bundle('./fake-agent.ts', {
    __RDC_VERSION__: JSON.stringify(version),
    __FAKE__: JSON.stringify({ launcher: '/nonexistent', ...behaviour }),
  });
  return { version, content, sha256: createHash('sha256').update(content).digest('hex') };
}

/** One file of a script of this directory, as scripts/build.mjs makes them. */
export async function bundle(entry: string, define: Record<string, string> = {}): Promise<Buffer> {
  const result = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    loader: { '.sh': 'text' },
    external: ['cpu-features', '*.node'],
    define,
    banner: { js: SHIM },
  });
  return Buffer.from(result.outputFiles[0]?.contents ?? []);
}
