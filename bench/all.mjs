// All repositories at once: `repo up-all` one after the other and with `--parallel --concurrency N`, each after a
// `down-all --unmount`, against what the machine needs at least; then `up-all --mount-only`, with its memory.
//
//   node bench/all.mjs -m MACHINE --context CONTEXT --ssh 'ssh -i KEY -p 22 root@192.0.2.1' [--repos 20] [--widths 1,3,8] [--mounts] [--keep]
//
// --mounts: only the last of these, as with --repos 100.
//
// It makes its repositories itself (bench-01 …, two services of busybox each) and deletes them at the end, unless --keep.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { timed } from './figures.mjs';

const { values: given } = parseArgs({
  options: {
    machine: { type: 'string', short: 'm' },
    context: { type: 'string' },
    ssh: { type: 'string' },
    repos: { type: 'string', default: '20' },
    widths: { type: 'string', default: '1,3,8' },
    mounts: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
if (given.ssh === undefined || given.machine === undefined) {
  console.error(
    "usage: node bench/all.mjs -m MACHINE --ssh 'ssh … root@HOST' [--context CONTEXT] [--repos N] [--widths N,N] [--mounts] [--keep]",
  );
  process.exit(2);
}
const rdcProgram = fileURLToPath(new URL('../dist/rdc/main.js', import.meta.url));
const place = ['-m', given.machine, ...(given.context === undefined ? [] : ['--context', given.context])];
const names = Array.from({ length: Number(given.repos) }, (_, index) => `bench-${String(index + 1).padStart(2, '0')}`);

const rdc = (...words) => timed(process.execPath, [rdcProgram, 'repo', ...words, ...place]);
const json = (...words) => JSON.parse(rdc(...words, '--json').stdout);
const shell = (script) => timed('sh', ['-c', `exec ${given.ssh} bash -s`], { input: script }).stdout;
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

const COMPOSE = `services:
  one: &web
    image: busybox
    network_mode: host
    stop_grace_period: 1s
    command: sh -c 'trap exit TERM; httpd -f -p $\${WEB_IP}:8080 -h /bin & wait'
    environment: {WEB_IP: "\${ONE_IP}"}
  two:
    <<: *web
    environment: {WEB_IP: "\${TWO_IP}"}
`;
const REDIACCFILE = 'up() { renet compose -- up -d; }\ndown() { renet compose -- down; }\n';

function make() {
  const listed = () => json('list').repositories.filter(({ name }) => names.includes(name));
  const there = new Set(listed().map(({ name }) => name));
  for (const name of names.filter((one) => !there.has(one))) {
    rdc('create', name, '--size', '512M');
    console.error(`made ${name}`);
  }
  rdc('up-all', '--mount-only');
  const heredoc = (path, text) => `cat > '${path}' <<'EOF'\n${text}EOF\n`;
  const mountPoints = listed().map(({ guid }) => `$datastore/repos/${guid}`);
  const write = mountPoints.map(
    (at) => `cd "${at}"\n${heredoc('compose.yml', COMPOSE)}${heredoc('Rediaccfile', REDIACCFILE)}`,
  );
  shell(
    `set -e\ndatastore=$(sed -n 's/.*"datastore": *"\\([^"]*\\)".*/\\1/p' /etc/rediacc/machine.json)\n${write.join('')}`,
  );
}

/** Ticks of all processors that were not idle, in seconds (proc_stat(5)), processors, and free memory in bytes. */
function machine() {
  const [cpu, ticks, cores, available] = shell(
    "head -1 /proc/stat; getconf CLK_TCK; nproc; awk '/MemAvailable/ {print $2}' /proc/meminfo",
  ).split('\n');
  const [user, nice, system, , , irq, softirq] = cpu.split(/\s+/).slice(1).map(Number);
  const busy = (user + nice + system + irq + softirq) / Number(ticks);
  return { busy, cores: Number(cores), available: Number(available) * 1024 };
}

const closeAll = () => rdc('down-all', '--unmount', '--parallel');

/** One `up-all` from everything closed. Throws unless all of them came up. */
function measure(title, ...words) {
  closeAll();
  const before = machine();
  const { ms, stdout } = rdc('up-all', '--json', ...words);
  const after = machine();
  const rows = JSON.parse(stdout).repositories.filter(({ name }) => names.includes(name));
  const bad = rows.filter(({ result }) => result !== 'done');
  if (rows.length !== names.length || bad.length > 0) throw new Error(`${title}: ${JSON.stringify(bad)}`);
  const figure = {
    title,
    ms,
    cpu: after.busy - before.busy,
    cores: before.cores,
    longest: Math.max(...rows.map((row) => row.ms)),
    memory: before.available - after.available,
    rows,
  };
  console.error(`${title}: ${seconds(ms)}, ${figure.cpu.toFixed(0)} s of CPU, longest ${seconds(figure.longest)}`);
  return figure;
}

function table(figures) {
  const [serial] = figures;
  // A repository takes that long also with the machine to itself.
  const rows = figures.map(({ title, ms, cpu, cores }) => {
    const bound = Math.max((cpu / cores) * 1000, serial.longest);
    return `| ${title} | ${seconds(ms)} | ${cpu.toFixed(0)} s | ${seconds(bound)} | ${(ms / bound).toFixed(2)} | ${(serial.ms / ms).toFixed(2)} |`;
  });
  return [
    '| how | wall time | CPU time | bound | wall / bound | serial / wall |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

/** One after the other against each width. */
function compare() {
  // Images are pulled and everything is in the page cache before the first figure.
  rdc('up-all', '--parallel');
  const figures = [
    measure('one after the other'),
    ...given.widths
      .split(',')
      .map((width) => measure(`--parallel --concurrency ${width}`, '--parallel', '--concurrency', width)),
  ];
  console.log(
    `\n${names.length} repositories of two services, ${figures[0].cores} cores, longest single ${seconds(figures[0].longest)}:\n`,
  );
  console.log(table(figures));
}

make();
if (!given.mounts) compare();
const mounted = measure('--mount-only', '--mount-only');
const each = (value) => value / names.length;
const mean = (rows) => rows.reduce((total, { ms }) => total + ms, 0) / rows.length;
console.log(
  `\n--mount-only: ${seconds(mounted.ms)}, ${mounted.cpu.toFixed(0)} s of CPU; per repository ${seconds(each(mounted.ms))} ` +
    `(of the first ten ${seconds(mean(mounted.rows.slice(0, 10)))}, of the last ten ${seconds(mean(mounted.rows.slice(-10)))}) ` +
    `and ${(each(mounted.memory) / 1024 ** 2).toFixed(1)} MiB of memory`,
);
closeAll();
if (!given.keep) for (const name of names) rdc('delete', name, '--yes');
