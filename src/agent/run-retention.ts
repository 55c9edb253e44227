// Runs are kept bounded: the newest 200, no older than 30 days, 1 GiB in all. One that goes on is never removed.
import { readdir, stat } from 'node:fs/promises';
import { orAbsent } from './linux-files.ts';
import { isGoingOn, removeRun, runIds } from './run-files.ts';

export interface Retention {
  mostRuns: number;
  oldestMs: number;
  mostBytes: number;
}

export const RETENTION: Retention = {
  mostRuns: 200,
  oldestMs: 30 * 24 * 3600 * 1000,
  mostBytes: 1024 * 1024 ** 2,
};

export async function pruneRuns(runsDir: string, { mostRuns, oldestMs, mostBytes }: Retention): Promise<void> {
  let bytes = 0;
  for (const [index, run] of (await runIds(runsDir)).entries()) {
    const directory = `${runsDir}/${run}`;
    bytes += await bytesIn(directory);
    const startedAt = Number.parseInt(run.slice(0, 12), 16);
    const isTooMuch = index >= mostRuns || Date.now() - startedAt > oldestMs || bytes > mostBytes;
    if (isTooMuch && !(await isGoingOn(directory))) await removeRun(directory);
  }
}

async function bytesIn(directory: string): Promise<number> {
  const files = (await orAbsent(readdir(directory))) ?? [];
  const sizes = await Promise.all(files.map(async (file) => (await orAbsent(stat(`${directory}/${file}`)))?.size ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}
