// What `repo up` does before it runs anything: Rediaccfiles found and checked, compose files read, slots given. On this
// machine, with the agent's own code over real files. Run: node bench/checks.mjs [RUNS]
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { listed, median } from './figures.mjs';

const RUNS = Number(process.argv[2] ?? 20);
const DIRECTORIES = 60;
const GOAL_MS = 150;
const GUID = '0d6f1a52-7c1e-4b7e-9d0a-0a1b2c3d4e5f';

const REDIACCFILE = `#!/bin/bash
prep() { mkdir -p data; }
up() { renet compose -- up -d; }
down() { renet compose -- down; }
`;

const work = await mkdtemp(join(tmpdir(), 'rdc-bench-'));
try {
  console.log(await measure(await loadAgent(work), work));
} finally {
  await rm(work, { recursive: true });
}

async function loadAgent(directory) {
  const contents = `
    export { findRediaccfiles } from './src/lifecycle/rediaccfile.ts';
    export { updateServicesFile } from './src/lifecycle/services-file.ts';
    export { findFaults } from './src/agent/check-rediaccfiles.ts';
    export { createLinuxSystem } from './src/agent/linux-system.ts';
    export { repoTarget } from './src/agent/layout.ts';`;
  const outfile = join(directory, 'agent.mjs');
  const resolveDir = new URL('..', import.meta.url).pathname;
  const banner = { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" };
  await build({
    stdin: { contents, resolveDir },
    ...{ outfile, banner, bundle: true, platform: 'node', format: 'esm', logLevel: 'warning' },
  });
  return import(pathToFileURL(outfile).href);
}

async function measure(agent, datastore) {
  const target = agent.repoTarget(datastore, { guid: GUID, name: 'bench', networkId: 2816, linkIndex: 0 });
  const system = agent.createLinuxSystem();
  const { mountPoint, servicesFile } = target.paths;
  await writeRepository(mountPoint);
  const times = { discovery: [], 'bash -n': [], 'compose files, slots, checks': [], 'the same, nothing new': [] };
  const timed = async (what, run, keep) => {
    const start = performance.now();
    const result = await run();
    if (keep) times[what].push(performance.now() - start);
    return result;
  };
  // One round unmeasured: a resident agent has its code compiled.
  for (let run = 0; run <= RUNS; run += 1) {
    await rm(servicesFile, { force: true });
    const files = await timed('discovery', () => agent.findRediaccfiles(system, mountPoint), run > 0);
    await timed('bash -n', () => agent.findFaults(system, mountPoint, files), run > 0);
    const update = () => agent.updateServicesFile(system, target, files);
    const { file } = await timed('compose files, slots, checks', update, run > 0);
    await timed('the same, nothing new', update, run > 0);
    const count = Object.keys(file.services).length;
    if (files.length !== DIRECTORIES || count !== 61)
      throw new Error(`${files.length} Rediaccfiles, ${count} services`);
  }
  return summary(times);
}

function summary(times) {
  const [discovery, bash, first] = Object.values(times).map(median);
  const own = discovery + first;
  const verdict = `discovery, slots and checks: ${own.toFixed(0)} ms (goal ${GOAL_MS}), with bash -n ${(own + bash).toFixed(0)} ms`;
  return `node ${process.versions.node}, ${DIRECTORIES} directories, 61 services, ${RUNS} runs\n\n${listed(Object.entries(times))}\n\n${verdict}`;
}

/** Each directory a service as people write them; the last one two. */
async function writeRepository(mountPoint) {
  for (let index = 0; index < DIRECTORIES; index += 1) {
    const directory = join(mountPoint, `app-${String(index).padStart(2, '0')}`);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'Rediaccfile'), REDIACCFILE);
    const extra = index === DIRECTORIES - 1 ? '  extra:\n    <<: *base\n    image: busybox\n' : '';
    await writeFile(join(directory, 'docker-compose.yml'), composeFile(index) + extra);
    await writeFile(join(directory, '.env'), 'TAG=16\n');
  }
}

function composeFile(index) {
  return `x-base: &base
  restart: unless-stopped
  logging: {driver: local}
services:
  app-${index}:
    <<: *base
    image: "postgres:\${TAG}"
    ports: ["${8000 + index}:80"]
    volumes: ["./data:/data"]
    environment:
      A: "1"
      B: "2"
    healthcheck: {test: [CMD, "true"], interval: 5s}
`;
}
