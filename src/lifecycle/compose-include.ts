// `include`: other projects whose services, volumes and networks are added to this one (compose-go loader/include.go).
// Each has a directory and an .env file of its own; the same name twice must be the very same thing.
import { posix } from 'node:path';
import { type Include, includesOf, type Reference } from '../network/compose-references.ts';
import { placeOf, Refusal } from '../network/finding.ts';
import { child, sameContent } from '../network/tree-merge.ts';
import type { Tree, YamlMapping } from '../network/yaml-tree.ts';
import { type ComposeProject, type ComposeSource, directoryEnv } from './compose-source.ts';

/** compose-go has no limit but the circle; ten deep is a mistake. */
const DEEPEST = 20;
const SECTIONS = ['services', 'volumes', 'networks', 'secrets', 'configs'] as const;

/** Throws a Refusal for a circle, for a file outside the repository and for a name that means two things. */
export async function addIncludes(
  source: ComposeSource,
  project: ComposeProject,
  merged: Tree,
  load: (project: ComposeProject) => Promise<Tree>,
): Promise<Tree> {
  let whole = merged;
  for (const include of includesOf(merged)) {
    const included = await projectOf(source, project, include);
    if (included !== undefined) whole = addProject(whole, await load(included));
  }
  return whole;
}

async function projectOf(
  source: ComposeSource,
  { directory, within, files }: ComposeProject,
  { paths, projectDirectory, envFiles }: Include,
): Promise<ComposeProject | undefined> {
  const [first] = paths;
  const unknown = [...paths, projectDirectory].find((one) => one?.path === undefined && one !== undefined);
  const remote = paths.find((one) => one.remote);
  if (first === undefined || unknown !== undefined || remote !== undefined) {
    tellUnread(source, remote ?? unknown);
    return undefined;
  }
  const known = paths.map((one) => ({ at: one.at, file: posix.resolve(directory, one.path ?? '') }));
  const chain = [...within, ...files];
  for (const { file, at } of known) {
    refuseOutside(source, file, at);
    if (chain.includes(file) || chain.length > DEEPEST) throw circle(source, [...chain, file], at);
  }
  const existing = await Promise.all(known.map((one) => presentOrTold(source, one)));
  const here = posix.resolve(directory, projectDirectory?.path ?? posix.dirname(first.path ?? ''));
  const named = envFiles.flatMap(({ path }) => (path === undefined ? [] : [posix.resolve(directory, path)]));
  const under = { ...source, env: { ...first.at.origin.env, PWD: here } };
  const env = await directoryEnv(under, here, named.length === 0 ? ['.env'] : named);
  return { files: existing.flat(), directory: here, env, namedBy: first.at, within: chain };
}

function tellUnread({ findings }: ComposeSource, unread: Reference | undefined): void {
  if (unread === undefined) return;
  const { origin, line } = unread.at;
  const why = unread.remote ? 'is fetched from elsewhere' : 'depends on a variable that is set elsewhere';
  const message = `"${unread.written}" ${why}: its services get no address and are not checked`;
  findings.push({ file: origin.file, line, rule: 'include', severity: 'warning', message });
}

function refuseOutside({ mountPoint }: ComposeSource, file: string, { origin, line }: Tree): void {
  if (file.startsWith(`${mountPoint}/`)) return;
  const message = `"${file}" is outside the repository: only files inside it are read`;
  throw new Refusal({ file: origin.file, line, rule: 'outside', message });
}

/** prep may yet write a file that is missing. */
async function presentOrTold(
  { system, findings, mountPoint }: ComposeSource,
  { file, at }: { file: string; at: Tree },
): Promise<string[]> {
  if ((await system.stat(file)) !== undefined) return [file];
  const message = `"${posix.relative(mountPoint, file)}" is not there`;
  findings.push({ file: at.origin.file, line: at.line, rule: 'missing-file', severity: 'warning', message });
  return [];
}

function circle({ mountPoint }: ComposeSource, chain: readonly string[], { origin, line }: Tree): Refusal {
  const names = chain.map((file) => posix.relative(mountPoint, file)).join(' -> ');
  return new Refusal({ file: origin.file, line, rule: 'include', message: `"include" goes in a circle: ${names}` });
}

function addProject(whole: Tree, added: Tree): Tree {
  if (whole.kind !== 'map') return whole;
  const entries: YamlMapping['entries'] = new Map(whole.entries);
  for (const section of SECTIONS) {
    const more = child(added, section);
    if (more?.kind !== 'map') continue;
    const mine = child(whole, section);
    const all: YamlMapping['entries'] = new Map(mine?.kind === 'map' ? mine.entries : []);
    for (const [name, entry] of more.entries) {
      const before = all.get(name);
      if (before !== undefined && !sameContent(before.value, entry.value))
        throw conflict(`${section}.${name}`, before, entry);
      if (before === undefined) all.set(name, entry);
    }
    entries.set(section, { line: more.line, value: { ...(mine?.kind === 'map' ? mine : more), entries: all } });
  }
  return { ...whole, entries };
}

interface Entry {
  line: number;
  value: Tree;
}

function conflict(what: string, mine: Entry, theirs: Entry): Refusal {
  const other = placeOf({ file: theirs.value.origin.file, line: theirs.line });
  const message = `${what} is also in the included ${other}, and differs from it`;
  return new Refusal({ file: mine.value.origin.file, line: mine.line, rule: 'include', message });
}
