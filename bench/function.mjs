// One call of a Rediaccfile function as the agent makes it, against `systemd-run --wait` of the same function with the
// same sandbox: what the wrapper costs that keeps output whole, outlives signals and names what is left. On the server
// itself, without the agent. The repository exists and its daemon runs.
//
//   node bench/function.mjs NAME --ssh 'ssh -i KEY -p 22 root@192.0.2.1' [-m MACHINE] [--context CONTEXT] [--rounds 30]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { compared, timed } from './figures.mjs';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    machine: { type: 'string', short: 'm' },
    context: { type: 'string' },
    ssh: { type: 'string' },
    rounds: { type: 'string', default: '30' },
  },
});
const [name] = positionals;
if (name === undefined || given.ssh === undefined || positionals.length > 1) {
  console.error(
    "usage: node bench/function.mjs NAME --ssh 'ssh … root@HOST' [-m MACHINE] [--context CONTEXT] [--rounds N]",
  );
  process.exit(2);
}

const work = await mkdtemp(join(tmpdir(), 'rdc-bench-'));
try {
  const agent = await loadAgent(work);
  console.log(measure(agent, repositoryOf(name)));
} finally {
  await rm(work, { recursive: true });
}

async function loadAgent(directory) {
  const contents = `
    export { functionCommand, functionEnvironment } from './src/lifecycle/function-call.ts';
    export { repoTarget } from './src/agent/layout.ts';`;
  const outfile = join(directory, 'agent.mjs');
  const resolveDir = fileURLToPath(new URL('..', import.meta.url));
  await build({
    stdin: { contents, resolveDir },
    ...{ outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'warning' },
  });
  return import(pathToFileURL(outfile).href);
}

function repositoryOf(repository) {
  const program = fileURLToPath(new URL('../dist/rdc/main.js', import.meta.url));
  const place = [
    ...(given.context === undefined ? [] : ['--context', given.context]),
    ...(given.machine === undefined ? [] : ['-m', given.machine]),
  ];
  return JSON.parse(timed(process.execPath, [program, 'repo', 'status', repository, ...place, '--json']).stdout);
}

function measure(agent, { guid, networkId, mountPoint }) {
  const datastore = mountPoint.slice(0, mountPoint.indexOf('/repos/'));
  const target = agent.repoTarget(datastore, { guid, name, networkId, linkIndex: 0 });
  const directory = `${mountPoint}/.rediacc/bench`;
  const { args } = agent.functionCommand({
    target,
    rediaccfile: { directory: 'bench', file: 'Rediaccfile', path: directory },
    name: 'up',
    callId: 'bench-UNIQUE',
    environment: agent.functionEnvironment(target, {}),
    settings: new Map(),
    mark: 'rediacc-bench',
    timeoutMs: undefined,
    resolvConf: undefined,
  });
  // Both are the same up to the first bash.
  const plain = [...args.slice(0, args.indexOf('/bin/bash')), '/bin/bash', '--noprofile', '--norc', '-c'];
  plain.push('cd -- "$$1" && source ./Rediaccfile && up', 'bench', directory);
  const rivals = { 'a function of the agent': args, 'systemd-run --wait': plain };
  const input = `mkdir -p ${directory}; echo 'up() { :; }' >${directory}/Rediaccfile
    ${Object.values(rivals).map(shellFunction).join('\n')}
    for ((round = 0; round < ${given.rounds}; round++)); do
      if ((round % 2)); then run0; run1; else run1; run0; fi
    done
    rm -r ${directory}\n`;
  const { stdout } = timed('sh', ['-c', `exec ${given.ssh} exec bash -s`], { input });
  const times = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  // The first of each is not counted: files come from the disk.
  return compared(
    Object.keys(rivals).map((title, at) => [
      title,
      times.flatMap(([which, ms]) => (which === at ? [ms] : [])).slice(1),
    ]),
  );
}

/** Prints its number and milliseconds. */
function shellFunction(words, index) {
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`.replace('UNIQUE', "'$round'"));
  return `run${index}() {
    local from=\${EPOCHREALTIME/[.,]/}
    systemd-run ${quoted.join(' ')} </dev/null >/dev/null 2>&1 || exit
    local to=\${EPOCHREALTIME/[.,]/}
    echo "${index} $(((to - from) / 1000))"
  }`;
}
