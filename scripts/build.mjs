// Builds the two programs: dist/rdc/ (the CLI, split so that heavy parts load only when used)
// and dist/renet.mjs (the agent, one file that needs nothing but Node on the server).
// `node scripts/build.mjs --faults DIRECTORY` builds for tests of crash safety: an agent that kills itself where it is told to
// (src/agent/fault-hook.ts), and an rdc that carries it. Never to be shipped.
import { readFile, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
const unitFiles = { '.service': 'text', '.socket': 'text', '.slice': 'text', '.conf': 'text', '.sh': 'text' };
// Bundled CommonJS packages still call require() for Node's own modules.
const requireShim =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url); const __dirname = import.meta.dirname;";
const shared = {
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  loader: unitFiles,
  define: { __RDC_VERSION__: JSON.stringify(version) },
  banner: { js: requireShim },
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
};

export async function buildAll(outDir = 'dist', { faults = false } = {}) {
  await rm(outDir, { recursive: true, force: true });
  const agent = await buildAgent(outDir, { faults });
  const cli = await build({
    ...shared,
    entryPoints: { main: 'src/cli/main.ts' },
    outdir: `${outDir}/rdc`,
    splitting: true,
    // ssh2's optional native crypto: absent, ssh2 falls back to Node's own.
    external: ['cpu-features', '*.node'],
    banner: { js: `#!/usr/bin/env node\n${requireShim}` },
  });
  return { agent: agent.metafile, cli: cli.metafile };
}

export async function buildAgent(outDir, { faults }) {
  const connect = await build({
    ...shared,
    entryPoints: ['src/agent/connect-program.ts'],
    banner: {},
    minify: true,
    write: false,
  });
  return await build({
    ...shared,
    define: {
      ...shared.define,
      __CONNECT_PROGRAM__: JSON.stringify(connect.outputFiles[0].text),
      __FAULT_HOOK__: String(faults),
    },
    entryPoints: ['src/agent/main.ts'],
    outfile: `${outDir}/renet.mjs`,
    minify: true,
  });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [option, directory] = process.argv.slice(2);
  if (option === undefined) await buildAll();
  else if (option === '--faults' && directory !== undefined) await buildAll(directory, { faults: true });
  else throw new Error('usage: build.mjs [--faults DIRECTORY]');
}
