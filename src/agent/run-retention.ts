// Runs are kept bounded: the newest 200, no older than 30 days, 256 MiB in all. Running ones are never removed.
import { readdir, rm, stat } from 'node:fs/promises';

const MOST_RUNS = 200;
const OLDEST_MS = 30 * 24 * 3600 * 1000;
const MOST_BYTES = 256 * 1024 ** 2;

/** `live`: ids of runs that go on. */
export async function pruneRuns(runsDir: string, live: ReadonlySet<string>): Promise<void> {
  const names = (await readdir(runsDir)).sort().reverse();
  let bytes = 0;
  for (const [index, name] of names.entries()) {
    const directory = `${runsDir}/${name}`;
    bytes += await bytesIn(directory);
    const startedAt = Number.parseInt(name.slice(0, 12), 16);
    const tooOld = Date.now() - startedAt > OLDEST_MS;
    if (!live.has(name) && (index >= MOST_RUNS || tooOld || bytes > MOST_BYTES))
      await rm(directory, { recursive: true, force: true });
  }
}

async function bytesIn(directory: string): Promise<number> {
  const files = await readdir(directory);
  const sizes = await Promise.all(files.map(async (file) => (await stat(`${directory}/${file}`)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
