// The example's API has one home, examples/plain-compose/api; its ready-made image holds the same files.
import { access, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RdcError } from '../../../protocol/errors.ts';

/** File name to text: what the Dockerfile beside them copies. */
export async function apiSource(): Promise<Map<string, string>> {
  const directory = await findUpwards(dirname(fileURLToPath(import.meta.url)), 'examples/plain-compose/api');
  const names = (await readdir(directory)).filter((name) => /\.js$|^package\.json$/.test(name)).sort();
  return new Map(await Promise.all(names.map(async (name) => [name, await readText(directory, name)] as const)));
}

/** The program is bundled into another directory than its source: look for the examples in each one above. */
async function findUpwards(start: string, wanted: string): Promise<string> {
  const candidate = join(start, wanted);
  const found = await access(candidate).then(
    () => true,
    () => false,
  );
  if (found) return candidate;
  if (dirname(start) === start) throw new RdcError('FAILED', `"${wanted}" is missing from this installation`);
  return findUpwards(dirname(start), wanted);
}

function readText(directory: string, name: string): Promise<string> {
  return readFile(join(directory, name), 'utf8');
}
