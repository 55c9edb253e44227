// YAML as plain values that know their place: aliases and merge keys resolved, `!reset` and `!override` kept. An alias
// shares what it names, so that an expansion bomb costs nothing to read; what it would unfold to is counted and bounded.
import { type Alias, isAlias, isMap, isPair, isScalar, isSeq, type ParsedNode, type Scalar, type YAMLMap } from 'yaml';
import { Refusal } from './finding.ts';
import { parseDocuments } from './yaml-text.ts';

/** Where a text comes from, and what its relative paths and `${VARIABLES}` mean. */
export interface Origin {
  /** Relative to the root of the repository. */
  file: string;
  /** Absolute; relative paths in the text start here. */
  directory: string;
  env: Readonly<Record<string, string>>;
}

interface Placed {
  origin: Origin;
  line: number;
  /** compose-go loader/reset.go: taken out of, or put in place of, what earlier files say. */
  tag?: 'reset' | 'override';
  /** Values in it once every alias is unfolded. */
  size: number;
}
export type YamlScalar = Placed & { kind: 'scalar'; value: unknown };
export type YamlList = Placed & { kind: 'list'; items: Tree[] };
/** By key; the line of an entry is its key's. */
export type YamlMapping = Placed & { kind: 'map'; entries: Map<string, { line: number; value: Tree }> };
export type Tree = YamlScalar | YamlList | YamlMapping;

/** Real files have some thousands. */
const MAX_UNFOLDED = 100_000;

/** One tree per document of the text. Throws a Refusal with file and line: no YAML, a key twice, a key that is no text, aliases in a circle or without measure, nested too deep. */
export function parseYaml(origin: Origin, text: string): Tree[] {
  const { documents, lineAt } = parseDocuments(origin.file, text);
  const builder = new TreeBuilder(origin, lineAt);
  try {
    return documents.map((contents) => builder.build(contents));
  } catch (error) {
    if (error instanceof RangeError) throw new Refusal({ file: origin.file, rule: 'yaml', message: 'nested too deep' });
    throw error;
  }
}

class TreeBuilder {
  readonly #origin: Origin;
  readonly #lineAt: (offset: number) => number;
  /** The last one of a name counts (YAML 1.2, 3.2.2.2). undefined: begun and not yet finished. */
  readonly #anchors = new Map<string, Tree | undefined>();

  constructor(origin: Origin, lineAt: (offset: number) => number) {
    this.#origin = origin;
    this.#lineAt = lineAt;
  }

  build(node: ParsedNode | Alias | null | undefined): Tree {
    if (node === null || node === undefined) return this.#scalar(null, undefined);
    if (isAlias(node)) return this.#resolve(node);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, undefined);
    const tree = this.#value(node as ParsedNode);
    if (node.tag === '!reset') tree.tag = 'reset';
    if (node.tag === '!override') tree.tag = 'override';
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, tree);
    if (tree.size > MAX_UNFOLDED) throw this.#refuse(node, `its aliases unfold to more than ${MAX_UNFOLDED} values`);
    return tree;
  }

  #value(node: ParsedNode): Tree {
    if (isMap(node)) return this.#mapping(node as YAMLMap);
    if (isSeq(node)) {
      const items = node.items.map((item) => this.build(item as ParsedNode));
      return { kind: 'list', items, ...this.#placed(node, sizeOf(items)) };
    }
    return this.#scalar(isScalar(node) ? node.value : null, node);
  }

  #scalar(value: unknown, node: ParsedNode | undefined): YamlScalar {
    return { kind: 'scalar', value, ...this.#placed(node, 1) };
  }

  #placed(node: unknown, size: number): Placed {
    return { origin: this.#origin, line: this.#lineOf(node), size };
  }

  #mapping(node: YAMLMap): YamlMapping {
    const entries: YamlMapping['entries'] = new Map();
    const merged: YamlMapping[] = [];
    let hasMerge = false;
    for (const pair of node.items) {
      if (!isPair(pair)) continue;
      const { key, value } = pair as { key: ParsedNode; value: ParsedNode | null };
      const name = this.#key(key);
      if (isMergeKey(key)) {
        if (hasMerge) throw this.#refuse(key, 'the key "<<" is there twice');
        hasMerge = true;
        merged.push(...this.#mergeSources(key, value));
        continue;
      }
      const before = entries.get(name);
      if (before !== undefined) {
        throw this.#refuse(key, `the key "${name}" is there twice, first in line ${before.line}`, 'duplicate-key');
      }
      entries.set(name, { line: this.#lineOf(key), value: this.build(value) });
    }
    // The mapping's own keys win, then the first source that has the key (yaml.org/type/merge.html).
    for (const source of merged) {
      for (const [name, entry] of source.entries) if (!entries.has(name)) entries.set(name, entry);
    }
    const values = [...entries.values()].map(({ value }) => value);
    return { kind: 'map', entries, ...this.#placed(node, sizeOf(values)) };
  }

  #mergeSources(key: ParsedNode, value: ParsedNode | null): YamlMapping[] {
    const tree = this.build(value);
    const sources = tree.kind === 'list' ? tree.items : [tree];
    if (!sources.every((source) => source.kind === 'map')) {
      throw this.#refuse(key, '"<<" takes a mapping or a list of mappings');
    }
    return sources as YamlMapping[];
  }

  #key(key: ParsedNode): string {
    const tree = this.build(key);
    if (tree.kind === 'scalar' && typeof tree.value === 'string') return tree.value;
    const shown = tree.kind === 'scalar' ? `the key ${String(tree.value)}` : 'a key';
    throw this.#refuse(key, `${shown} is no text: put it in quotes`, 'key-type');
  }

  #resolve(alias: Alias): Tree {
    const { source } = alias;
    if (!this.#anchors.has(source)) throw this.#refuse(alias, `there is no anchor "${source}" before it`);
    const tree = this.#anchors.get(source);
    if (tree === undefined) throw this.#refuse(alias, `the alias "${source}" is inside what it names`);
    return tree;
  }

  #lineOf(node: unknown): number {
    const range = (node as { range?: readonly number[] | null } | undefined)?.range;
    return this.#lineAt(range?.[0] ?? 0);
  }

  #refuse(node: unknown, message: string, rule = 'yaml'): Refusal {
    return new Refusal({ file: this.#origin.file, line: this.#lineOf(node), rule, message });
  }
}

function sizeOf(trees: readonly Tree[]): number {
  return trees.reduce((sum, { size }) => sum + size, 1);
}

/** Quoted, it is a key like any other. */
function isMergeKey(key: unknown): boolean {
  return isScalar(key) && (key as Scalar).value === '<<' && (key as Scalar).type === 'PLAIN';
}
