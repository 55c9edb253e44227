// Containers that came along with a copy of a volume. They have the addresses and paths of the repository they were made
// in, so dockerd must not start them when it starts: their restart policies are taken away while the volume is at rest,
// noted inside it, and given back on the first `up`, which recreates them as compose does (a container whose description
// has changed is made anew and keeps its volumes).
import * as z from 'zod';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';

const MOST_TEXT = 4 * 1024 ** 2;
const containerId = z.string().regex(/^[0-9a-f]{64}$/);
/** As `docker update --restart` takes it. */
const policySchema = z.string().regex(/^(always|unless-stopped|on-failure(:\d{1,9})?)$/);
const noteSchema = z.object({ restart: z.record(containerId, policySchema) });
/** Of dockerd's hostconfig.json; everything else in it stays as it is. */
const hostConfigSchema = z.looseObject({
  RestartPolicy: z.object({ Name: z.string(), MaximumRetryCount: z.number().optional() }).nullish(),
});

function notePath({ paths }: RepoTarget): string {
  return `${paths.internal}/held-containers.json`;
}

/** On a mounted volume of which nothing runs and nobody else writes in it. How many are held now. */
export async function holdContainers(system: System, target: RepoTarget): Promise<number> {
  const { internal, dockerData } = target.paths;
  const containers = `${dockerData}/containers`;
  // Whoever writes in a repository may have put a link there, and nothing is written through one.
  for (const path of [internal, dockerData, containers]) {
    if ((await system.stat(path))?.kind !== 'directory') return 0;
  }
  const restart = { ...(await readNote(system, target)) };
  const changes: { path: string; text: string; mode: number }[] = [];
  for (const id of (await system.list(containers)) ?? []) {
    const directory = `${containers}/${id}`;
    const path = `${directory}/hostconfig.json`;
    const file = await system.stat(path);
    if (!containerId.safeParse(id).success || (await system.stat(directory))?.kind !== 'directory') continue;
    if (file?.kind !== 'file' || file.sizeBytes > MOST_TEXT) continue;
    const config = parse(await system.readFile(path), hostConfigSchema);
    const policy = policyOf(config);
    if (config === undefined || policy === undefined) continue;
    restart[id] = policy;
    const text = JSON.stringify({ ...config, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } });
    changes.push({ path, text, mode: file.mode });
  }
  if (changes.length > 0) await system.writeFile(notePath(target), `${JSON.stringify({ restart })}\n`, 0o600);
  for (const { path, text, mode } of changes) await system.writeFile(path, text, mode);
  return Object.keys(restart).length;
}

/** With the daemon running: `docker update` starts nothing. */
export async function releaseContainers(system: System, target: RepoTarget): Promise<void> {
  const restart = await readNote(system, target);
  if (restart === undefined) return;
  const docker = (...args: string[]) => command('docker', '--host', `unix://${target.net.dockerSocket}`, ...args);
  const { stdout } = await system.run(docker('ps', '--all', '--quiet', '--no-trunc'));
  const present = new Set(stdout.split('\n'));
  const held = Object.entries(restart).filter(([id]) => present.has(id));
  for (const policy of new Set(held.map(([, name]) => name))) {
    const ids = held.filter(([, name]) => name === policy).map(([id]) => id);
    await system.run(docker('update', `--restart=${policy}`, ...ids));
  }
  await system.remove(notePath(target));
}

async function readNote(system: System, target: RepoTarget): Promise<Record<string, string> | undefined> {
  const path = notePath(target);
  const found = await system.readInside(target.paths.mountPoint, path, MOST_TEXT);
  if ('refused' in found && found.refused === 'absent') return undefined;
  const note = 'text' in found ? parse(found.text, noteSchema) : undefined;
  if (note !== undefined) return note.restart;
  throw new RdcError('CONFIG_INVALID', `.rediacc/held-containers.json of "${target.name}" is damaged`, {
    hint: `remove it on the server: ${path}`,
  });
}

function parse<T>(text: string | undefined, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text ?? '')).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function policyOf(config: z.infer<typeof hostConfigSchema> | undefined): string | undefined {
  const { Name = '', MaximumRetryCount = 0 } = config?.RestartPolicy ?? {};
  const policy = Name === 'on-failure' && MaximumRetryCount > 0 ? `${Name}:${MaximumRetryCount}` : Name;
  return policySchema.safeParse(policy).success ? policy : undefined;
}
