// What `rdc --version` costs over a bare start of Node. Run: npm run build && npm run bench:version
import { fileURLToPath } from 'node:url';
import { compared, timed } from './figures.mjs';

const RUNS = 20;
const rdc = fileURLToPath(new URL('../dist/rdc/main.js', import.meta.url));
const rivals = [
  ['rdc --version', [rdc, '--version']],
  ['node -e 0', ['-e', '0']],
];
const times = new Map(rivals.map(([name]) => [name, []]));

// One round unmeasured: the files are then in memory for both.
for (let run = 0; run <= RUNS; run += 1) {
  for (const [name, args] of run % 2 === 0 ? rivals : rivals.toReversed()) {
    const { ms } = timed(process.execPath, args);
    if (run > 0) times.get(name).push(ms);
  }
}
console.log(`node ${process.versions.node}, alternating\n\n${compared([...times])}`);
