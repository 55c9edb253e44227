// The further files that a compose file names: `include` (compose-spec 14-include.md) and `extends` (05-services.md).
// Pure: says which; reading them is the caller's.
import { Refusal } from './finding.ts';
import { interpolate } from './interpolate.ts';
import { child, textOf } from './tree-merge.ts';
import type { Tree } from './yaml-tree.ts';

export interface Reference {
  /** As it is written. */
  written: string;
  /** undefined: depends on a variable that is not known here. */
  path: string | undefined;
  /** Fetched by compose from elsewhere: a URL, git, an OCI registry. */
  remote: boolean;
  at: Tree;
}

export interface Include {
  /** Read one over the other, as with several -f. */
  paths: Reference[];
  projectDirectory: Reference | undefined;
  envFiles: Reference[];
}

/** Throws a Refusal where it is no list, as compose does. */
export function includesOf(document: Tree): Include[] {
  const include = child(document, 'include');
  if (include === undefined || isNothing(include)) return [];
  if (include.kind !== 'list') throw refuse(include, '"include" must be a list');
  return include.items.map((entry) => {
    if (entry.kind === 'scalar') return { paths: references(entry), projectDirectory: undefined, envFiles: [] };
    if (entry.kind !== 'map') throw refuse(entry, 'an entry of "include" is a path or a mapping with "path"');
    const [projectDirectory] = references(child(entry, 'project_directory'));
    return {
      paths: references(child(entry, 'path')),
      projectDirectory,
      envFiles: references(child(entry, 'env_file')),
    };
  });
}

export interface Extends {
  service: string;
  /** undefined: the same file. */
  file: Reference | undefined;
  at: Tree;
}

export function extendsOf(service: Tree): Extends | undefined {
  const node = child(service, 'extends');
  if (node === undefined || isNothing(node)) return undefined;
  const name = textOf(node) ?? textOf(child(node, 'service'));
  if (name === undefined) throw refuse(node, '"extends" names no service');
  const [file] = references(child(node, 'file'));
  return { service: name, file, at: node };
}

function references(tree: Tree | undefined): Reference[] {
  if (tree === undefined) return [];
  const items = tree.kind === 'list' ? tree.items : [tree];
  return items.flatMap((at) => {
    const written = textOf(at);
    if (written === undefined || written === '') return [];
    const path = interpolate(written, at.origin.env);
    return [{ written, path, remote: isRemote(path ?? written), at }];
  });
}

/** compose: remote/git.go and remote/oci.go. */
function isRemote(path: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(path) || /^(git@|github\.com\/|docker\.io\/)/.test(path);
}

function isNothing(tree: Tree): boolean {
  return tree.kind === 'scalar' && tree.value === null;
}

function refuse({ origin, line }: Tree, message: string): Refusal {
  return new Refusal({ file: origin.file, line, rule: 'compose', message });
}
