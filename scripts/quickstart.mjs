// The main job, as a person would type it: playground, encrypted repository, example application, proof that its
// data survives closing and cannot be read while closed. Every line that starts with "$" is a command of rdc.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

const rdc = fileURLToPath(new URL('../dist/rdc/main.js', import.meta.url));
const example = fileURLToPath(new URL('../examples/webapp', import.meta.url));
const MACHINE = ['--context', 'playground', '-m', 'playground'];
const REPO = 'webapp';
const began = Date.now();

function fail(message) {
  console.error(`quickstart: ${message}`);
  process.exit(1);
}

/** Runs rdc with its output on the terminal. */
function run(...args) {
  console.log(`\n$ rdc ${args.join(' ')}`);
  const { status } = spawnSync(process.execPath, [rdc, ...args], { stdio: 'inherit' });
  if (status !== 0) fail(`"rdc ${args.join(' ')}" ended with exit code ${status}`);
}

/** Runs rdc and gives its JSON. */
function ask(...args) {
  const { status, stdout } = spawnSync(process.execPath, [rdc, ...args, '--json'], { encoding: 'utf8' });
  if (status !== 0) fail(`"rdc ${args.join(' ')}" ended with exit code ${status}: ${stdout}`);
  return JSON.parse(stdout);
}

/** Runs a command on the playground machine. */
function onMachine(command, allowed = [0]) {
  console.log(`\n$ rdc ops ssh -- ${command}`);
  const result = spawnSync(process.execPath, [rdc, 'ops', 'ssh', '--', command], { encoding: 'utf8' });
  if (!allowed.includes(result.status))
    fail(`on the machine: ${command}: exit code ${result.status}: ${result.stderr}`);
  process.stdout.write(result.stdout);
  return { status: result.status, stdout: result.stdout };
}

function api(path, ...options) {
  const { services } = ask('repo', 'status', REPO, ...MACHINE);
  const { ip } = services.find(({ name }) => name === 'api') ?? fail('the api has no address');
  const words = [
    'curl',
    '-sS',
    '--fail',
    '--retry',
    '30',
    '--retry-connrefused',
    '--retry-delay',
    '1',
    '--max-time',
    '20',
    ...options,
  ];
  return JSON.parse(onMachine([...words, `http://${ip}:8080${path}`].join(' ')).stdout);
}

run('ops', 'up');
run('context', 'setup-machine', 'playground', '--context', 'playground');
const { repositories } = ask('repo', 'list', ...MACHINE);
if (!repositories.some(({ name }) => name === REPO)) run('repo', 'create', REPO, ...MACHINE, '--size', '1G');
run('repo', 'mount', REPO, ...MACHINE);
run('sync', 'upload', ...MACHINE, '-r', REPO, '--local', example);
run('repo', 'up', REPO, ...MACHINE);

const marker = `marker-${randomBytes(12).toString('hex')}`;
api('/notes', '-X', 'POST', '-H', 'content-type:application/json', '-d', `'{"text":"${marker}"}'`);
const first = api('/');
console.log(`\nThe API answers with a row from Postgres and a counter from Redis: ${JSON.stringify(first)}`);

run('repo', 'down', REPO, ...MACHINE, '--unmount');
const { image } = ask('repo', 'status', REPO, ...MACHINE);
const closed = onMachine(`sudo grep -aqF ${marker} ${image}`, [0, 1]).status;
if (closed !== 1) fail('the marker can be read in the image of the closed repository');
console.log('Closed: the marker is not to be found in the image file.');

run('repo', 'up', REPO, ...MACHINE, '--mount');
const { volume } = ask('repo', 'status', REPO, ...MACHINE);
if (onMachine(`sudo grep -aqF ${marker} ${volume.mapping}`, [0, 1]).status !== 0)
  fail('the control failed: the marker is not in the open volume either');
console.log('Open: the same search finds it in the decrypted volume, so the search works.');

const second = api('/');
const notes = api('/notes');
if (!JSON.stringify(notes).includes(marker)) fail('the row did not survive');
if (!(second.visits > first.visits)) fail(`the counter did not survive: ${first.visits}, then ${second.visits}`);
console.log(`\nThe row and the counter survived: ${JSON.stringify(second)}`);
console.log(`
Done in ${Math.round((Date.now() - began) / 1000)} s. What you would type next:

  node dist/rdc/main.js repo status ${REPO} ${MACHINE.join(' ')}
  node dist/rdc/main.js ops ssh
  node dist/rdc/main.js repo down ${REPO} ${MACHINE.join(' ')} --unmount
  node dist/rdc/main.js ops down            # add --delete to remove the machine and its disks
`);
