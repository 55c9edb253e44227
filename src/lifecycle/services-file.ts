// .rediacc.json of a mounted repository: brought up to date from the compose files beside its Rediaccfiles. Run
// before prep and again after it, because prep may have written compose files.
import { COMPOSE_FILE_NAMES, COMPOSE_OVERRIDE_NAMES, parseComposeFile } from '../network/compose-file.ts';
import { formatServicesFile, mergeServices, parseServicesFile, type ServicesFile } from '../network/services.ts';
import { RdcError } from '../protocol/errors.ts';
import type { Rediaccfile } from './rediaccfile.ts';
import type { System } from './system.ts';
import type { RepoTarget } from './target.ts';

/** An include of an include of … stops here. */
const DEEPEST_INCLUDE = 8;

export interface ServiceScan {
  file: ServicesFile;
  /** Names that two directories use: they share a slot, which deserves a warning. */
  shared: string[];
}

/** Writes .rediacc.json only when it changes. */
export async function updateServicesFile(
  system: System,
  target: RepoTarget,
  rediaccfiles: readonly Rediaccfile[],
): Promise<ServiceScan> {
  const path = target.paths.servicesFile;
  const before = await readOwn(system, path);
  const names: string[] = [];
  const shared = new Set<string>();
  for (const { path: directory } of rediaccfiles) {
    for (const name of await servicesOf(system, directory)) {
      if (names.includes(name)) shared.add(name);
      else names.push(name);
    }
  }
  const file = mergeServices(parseServicesFile(path, before), names);
  const text = formatServicesFile(file);
  const unchanged = text === before || (before === undefined && names.length === 0);
  if (!unchanged) await system.writeFile(path, text, 0o644);
  return { file, shared: [...shared] };
}

/** The text of a file in the repository. A link could lead out of it, to what only the host may read. */
export async function readOwn(system: System, path: string): Promise<string | undefined> {
  const kind = (await system.stat(path))?.kind;
  if (kind === undefined || kind === 'file') return await system.readFile(path);
  throw new RdcError('INVALID_INPUT', `${path} is no regular file`);
}

/** Service names of the compose file that compose itself would pick in this directory, its override and includes. */
async function servicesOf(system: System, directory: string): Promise<string[]> {
  const main = await firstExisting(system, directory, COMPOSE_FILE_NAMES);
  if (main === undefined) return [];
  const override = await firstExisting(system, directory, COMPOSE_OVERRIDE_NAMES);
  const names: string[] = [];
  for (const file of override === undefined ? [main] : [main, override])
    names.push(...(await readServices(system, file, 0)));
  return [...new Set(names)];
}

async function readServices(system: System, path: string, depth: number): Promise<string[]> {
  const text = await readOwn(system, path);
  if (text === undefined || depth > DEEPEST_INCLUDE) return [];
  const { services, includes } = parseComposeFile(path, text);
  const directory = path.slice(0, path.lastIndexOf('/'));
  const names = services.map(({ name }) => name);
  // An include that is not a plain relative path (a URL, a variable) is compose's to resolve.
  for (const include of includes.filter(
    (entry) => /^[\w./-]+$/.test(entry) && !entry.startsWith('/') && !entry.includes('..'),
  )) {
    names.push(...(await readServices(system, `${directory}/${include.replace(/^\.\//, '')}`, depth + 1)));
  }
  return names;
}

async function firstExisting(system: System, directory: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    if ((await system.stat(`${directory}/${name}`))?.kind === 'file') return `${directory}/${name}`;
  }
  return undefined;
}
