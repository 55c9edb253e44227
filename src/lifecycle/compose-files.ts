// Reads the compose files of one directory as compose would: the main file, its override, what they include and extend.
// Only files inside the repository are read. Nothing is run, so what depends on the shell's variables stays unknown and
// is told.
import { posix } from 'node:path';
import { Refusal } from '../network/finding.ts';
import { child, mergeTrees } from '../network/tree-merge.ts';
import type { Tree, YamlMapping } from '../network/yaml-tree.ts';
import { readTrees } from './compose-documents.ts';
import { applyExtends } from './compose-extends.ts';
import { addIncludes } from './compose-include.ts';
import { type ComposeProject, type ComposeSource, directoryEnv } from './compose-source.ts';

/** In the order compose prefers them (compose-go cli/options.go: DefaultFileNames). */
export const COMPOSE_FILE_NAMES = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'] as const;
/** The first of them is laid over the main file, whatever that is called (DefaultOverrideFileNames). */
export const COMPOSE_OVERRIDE_NAMES = [
  'compose.override.yml',
  'compose.override.yaml',
  'docker-compose.override.yml',
  'docker-compose.override.yaml',
] as const;

/** The merged project of a directory; undefined where it has no compose file. Throws a Refusal with file and line. */
export async function loadCompose(source: ComposeSource, directory: string): Promise<Tree | undefined> {
  const env = await directoryEnv(source, directory, ['.env']);
  const files = await filesOf(source, directory, env);
  const [first] = files;
  if (first === undefined) return undefined;
  return loadProject(source, { files, directory: posix.dirname(first), env, within: [] });
}

async function loadProject(source: ComposeSource, project: ComposeProject): Promise<Tree> {
  let merged: Tree | undefined;
  const { directory, env, namedBy } = project;
  for (const file of project.files) {
    const toRead = { file, directory, env, ...(namedBy === undefined ? {} : { namedBy }) };
    for (const document of await readTrees(source, toRead)) {
      merged = mergeTrees(merged, await applyExtends(source, { file, document }));
    }
  }
  return addIncludes(source, project, merged ?? emptyMapping(source, project), (included) =>
    loadProject(source, included),
  );
}

/** COMPOSE_FILE in the .env file replaces the usual names (compose-go: WithConfigFileEnv). */
async function filesOf(
  { system, mountPoint }: ComposeSource,
  directory: string,
  env: Readonly<Record<string, string>>,
): Promise<string[]> {
  if (env.COMPOSE_FILE !== undefined && env.COMPOSE_FILE !== '') {
    const separator = env.COMPOSE_PATH_SEPARATOR || ':';
    const files = env.COMPOSE_FILE.split(separator).map((file) => posix.resolve(directory, file));
    const stray = files.find((file) => !file.startsWith(`${mountPoint}/`));
    if (stray === undefined) return files;
    const file = `${posix.relative(mountPoint, directory) || '.'}/.env`.replace(/^\.\//, '');
    throw new Refusal({ file, rule: 'outside', message: `COMPOSE_FILE names "${stray}", outside the repository` });
  }
  // Whatever it is: a directory of that name is refused when it is read, not passed over for the next name.
  const present = new Set(await system.list(directory));
  const main = COMPOSE_FILE_NAMES.find((name) => present.has(name));
  if (main === undefined) return [];
  const override = COMPOSE_OVERRIDE_NAMES.find((name) => present.has(name));
  return [main, override].flatMap((name) => (name === undefined ? [] : [`${directory}/${name}`]));
}

function emptyMapping({ mountPoint }: ComposeSource, { files, directory, env }: ComposeProject): YamlMapping {
  const file = posix.relative(mountPoint, files[0] ?? directory);
  return { kind: 'map', entries: new Map(), origin: { file, directory, env }, line: 1, size: 1 };
}

/** By name, in the order in which they are written. */
export function servicesIn(project: Tree): ReadonlyMap<string, { line: number; value: Tree }> {
  const services = child(project, 'services');
  return services?.kind === 'map' ? services.entries : new Map();
}
