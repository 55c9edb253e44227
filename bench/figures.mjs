// Measuring and showing what was measured.
import { spawnSync } from 'node:child_process';

/** Milliseconds that a program takes from its start to its end; throws when it fails. */
export function timed(program, args, options = {}) {
  const start = performance.now();
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', ...options });
  const ms = performance.now() - start;
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${status}\n${stdout}${stderr}`);
  return { ms, stdout };
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** A Markdown table; each series is compared with the last one. */
export function compared(series) {
  const base = median(series.at(-1)[1]);
  const rows = series.map(([name, values]) => {
    const [low, middle, high] = [Math.min(...values), median(values), Math.max(...values)].map((ms) => ms.toFixed(0));
    return `| ${name} | ${values.length} | ${middle} ms | ${low}–${high} ms | ${(median(values) / base).toFixed(2)} |`;
  });
  return ['| what | runs | median | range | ratio |', '|---|---|---|---|---|', ...rows].join('\n');
}

/** A Markdown table of series that are parts of one thing. */
export function listed(series) {
  const rows = series.map(([name, values]) => {
    const [low, middle, high] = [Math.min(...values), median(values), Math.max(...values)].map((ms) => ms.toFixed(1));
    return `| ${name} | ${values.length} | ${middle} ms | ${low}–${high} ms |`;
  });
  return ['| what | runs | median | range |', '|---|---|---|---|', ...rows].join('\n');
}
