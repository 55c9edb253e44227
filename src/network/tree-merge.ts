// How a later file or an extending service is laid over an earlier one (compose-go override/merge.go): mappings key by
// key, lists one behind the other, everything else replaced; `!reset` takes away, `!override` puts in place of. Pure.
import type { Tree, YamlMapping } from './yaml-tree.ts';

/** undefined: reset. */
export function mergeTrees(base: Tree | undefined, over: Tree): Tree | undefined {
  if (over.tag === 'reset') return undefined;
  if (base === undefined || over.tag === 'override') return withoutReset(over);
  // A key without a value says nothing new.
  if (over.kind === 'scalar' && over.value === null) return base;
  if (base.kind === 'map' && over.kind === 'map') return mergeMappings(base, over);
  if (base.kind === 'list' && over.kind === 'list') {
    return { ...over, items: [...base.items, ...over.items], size: base.size + over.size };
  }
  return withoutReset(over);
}

function mergeMappings(base: YamlMapping, over: YamlMapping): YamlMapping {
  const entries = new Map(base.entries);
  for (const [name, { line, value }] of over.entries) {
    const before = entries.get(name);
    const merged = mergeTrees(before?.value, value);
    if (merged === undefined) entries.delete(name);
    else entries.set(name, { line, value: merged });
  }
  return { ...over, entries, size: base.size + over.size };
}

/** Where there is nothing to take away, the tagged value is gone all the same. */
function withoutReset(tree: Tree): Tree {
  if (tree.kind !== 'map') return tree;
  const entries: YamlMapping['entries'] = new Map();
  for (const [name, { line, value }] of tree.entries) {
    if (value.tag !== 'reset') entries.set(name, { line, value: withoutReset(value) });
  }
  return { ...tree, entries };
}

export function child(tree: Tree | undefined, name: string): Tree | undefined {
  return tree?.kind === 'map' ? tree.entries.get(name)?.value : undefined;
}

/** Text of a scalar as compose reads it; undefined for lists, mappings and nothing. */
export function textOf(tree: Tree | undefined): string | undefined {
  if (tree?.kind !== 'scalar' || tree.value === null) return undefined;
  return typeof tree.value === 'object' ? undefined : String(tree.value);
}

/** Same content, wherever it is written. */
export function sameContent(a: Tree, b: Tree): boolean {
  return JSON.stringify(plain(a)) === JSON.stringify(plain(b));
}

function plain(tree: Tree): unknown {
  if (tree.kind === 'scalar') return typeof tree.value === 'bigint' ? String(tree.value) : tree.value;
  if (tree.kind === 'list') return tree.items.map(plain);
  return [...tree.entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { value }]) => [name, plain(value)]);
}
