// `rdc repo up` against a shell script that does the same work over one SSH session; before each, `rdc repo down`.
// The repository exists, its volume can be opened, and its images are on the machine already.
//
//   node bench/up.mjs NAME -m MACHINE --context CONTEXT --ssh 'ssh -i KEY -p 22 root@192.0.2.1' [--rounds 5]
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compared, timed } from './figures.mjs';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    machine: { type: 'string', short: 'm' },
    context: { type: 'string' },
    ssh: { type: 'string' },
    rounds: { type: 'string', default: '5' },
  },
});
const [name] = positionals;
if (name === undefined || given.ssh === undefined || positionals.length > 1) {
  console.error("usage: node bench/up.mjs NAME --ssh 'ssh … USER@HOST' [-m MACHINE] [--context CONTEXT] [--rounds N]");
  process.exit(2);
}
const rdcProgram = fileURLToPath(new URL('../dist/rdc/main.js', import.meta.url));
const place = [
  ...(given.context === undefined ? [] : ['--context', given.context]),
  ...(given.machine === undefined ? [] : ['-m', given.machine]),
];
const script = readFileSync(new URL('./rival-up.sh', import.meta.url), 'utf8');

const rdc = (verb, ...more) => timed(process.execPath, [rdcProgram, 'repo', verb, name, ...place, ...more]);
const status = () => JSON.parse(rdc('status', '--json').stdout);

/** The environment that rdc gives to functions, as assignments for a shell. */
function environmentOf({ guid, networkId, mountPoint, dockerSocket, services }) {
  const addresses = services.map((service) => [`${service.name.toUpperCase().replaceAll('-', '_')}_IP`, service.ip]);
  const variables = {
    ...Object.fromEntries(addresses),
    REPOSITORY_PATH: mountPoint,
    REPOSITORY_NAME: guid,
    REPOSITORY_NETWORK_ID: networkId,
    REDIACC_WORKING_DIR: mountPoint,
    REDIACC_REPOSITORY: guid,
    REDIACC_NETWORK_ID: networkId,
    DOCKER_HOST: `unix://${dockerSocket}`,
    HOME: `${mountPoint}/.rediacc/home`,
    DOCKER_CONFIG: `${mountPoint}/.rediacc/home/.docker`,
    LANG: 'C.UTF-8',
    PATH: '/usr/lib/rediacc/shim:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  };
  return Object.entries(variables).map(([key, value]) => `export ${key}='${String(value).replaceAll("'", "'\\''")}'\n`);
}

/** One session; the script travels on stdin. */
function rival(environment) {
  const remote = 'if [ "$(id -u)" = 0 ]; then exec bash -s; else exec sudo -n bash -s; fi';
  const input = `${environment.join('')}${script}`;
  return timed('sh', ['-c', `exec ${given.ssh} "$0"`, remote], { input });
}

/** What must be the same after either: which services run. */
function running() {
  const up = status().services.filter(({ state }) => state === 'running');
  return up
    .map((service) => service.name)
    .sort()
    .join(' ');
}

rdc('up');
const environment = environmentOf(status());
const expected = running();
if (expected === '') throw new Error(`repository "${name}" has no running service: nothing to compare`);
console.error(`running: ${expected}`);

const rivals = [
  ['rdc repo up', () => rdc('up')],
  ['shell script over ssh', () => rival(environment)],
];
const times = new Map(rivals.map(([title]) => [title, []]));
for (let round = 0; round < Number(given.rounds); round += 1) {
  for (const [title, start] of round % 2 === 0 ? rivals : rivals.toReversed()) {
    rdc('down');
    const left = running();
    if (left !== '') throw new Error(`after "repo down" still running: ${left}`);
    const { ms } = start();
    const found = running();
    if (found !== expected) throw new Error(`after "${title}" running: ${found}; expected: ${expected}`);
    times.get(title).push(ms);
    console.error(`${title}: ${ms.toFixed(0)} ms`);
  }
}
console.log(compared([...times]));
