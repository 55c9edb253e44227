// Which directories' up() has ended well since the services were last started, and what their files were then. Inside the
// volume: even names of files are nobody's business while it is closed. A state that cannot be read is none: what is
// not known to be good is done again.
import * as z from 'zod';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';

const MAX_BYTES = 1024 ** 2;
const schema = z.object({ version: z.literal(1), directories: z.record(z.string(), z.string().nullable()) });

/** Directory ("" is the root) to digest; null: its files could not be compared. */
export type Deployed = ReadonlyMap<string, string | null>;

export async function readDeployed(system: System, { paths }: RepoTarget): Promise<Deployed> {
  const read = await system.readInside(paths.mountPoint, paths.deployed, MAX_BYTES);
  if (!('text' in read)) return new Map();
  try {
    return new Map(Object.entries(schema.parse(JSON.parse(read.text)).directories));
  } catch {
    return new Map();
  }
}

/** Nothing is written through a link that somebody has put in the place of our directory. */
export async function writeDeployed(system: System, { paths }: RepoTarget, deployed: Deployed): Promise<void> {
  if ((await system.stat(paths.internal))?.kind !== 'directory') return;
  const sorted = [...deployed].sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify({ version: 1, directories: Object.fromEntries(sorted) }, null, 2);
  await system.writeFile(paths.deployed, `${text}\n`, 0o600);
}
