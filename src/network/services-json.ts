// The text of .rediacc.json, read with the eyes of somebody who edits it by hand: what is wrong is told with its line,
// a key that is there twice is no answer, and nothing in it can be more than data.
import { RdcError } from '../protocol/errors.ts';
import { Refusal } from './finding.ts';
import { child } from './tree-merge.ts';
import { parseYaml, type Tree } from './yaml-tree.ts';

const DEEPEST = 64;
const HINT = 'mend it by hand; a service that loses its slot changes its address';

/** Throws CONFIG_INVALID with path and, where it can be told, line. */
export function parseServicesJson(path: string, text: string): unknown {
  if (depthOf(text) > DEEPEST) throw invalid(path, undefined, `nested deeper than ${DEEPEST}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw invalid(path, syntaxErrorLine(text, error.message), `not JSON: ${error.message}`, error);
  }
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw invalid(path, duplicate.line, duplicate.message);
  return value;
}

export function invalid(path: string, line: number | undefined, message: string, cause?: unknown): RdcError {
  const place = line === undefined ? path : `${path}:${line}`;
  return new RdcError('CONFIG_INVALID', `${place}: ${message}`, { hint: HINT, cause });
}

/** Line of the value under these keys, or of the nearest one above it that there is. */
export function lineOf(text: string, keys: readonly string[]): number | undefined {
  let tree = treeOf(text);
  if (tree === undefined || tree instanceof Refusal) return undefined;
  let line = tree.line;
  for (const key of keys) {
    const entry: { line: number; value: Tree } | undefined = tree.kind === 'map' ? tree.entries.get(key) : undefined;
    if (entry === undefined) break;
    line = entry.line;
    tree = child(tree, key) ?? tree;
  }
  return line;
}

/** JSON.parse takes the last one silently. */
function duplicateKey(text: string): { line: number | undefined; message: string } | undefined {
  const tree = treeOf(text);
  if (!(tree instanceof Refusal) || tree.finding.rule !== 'duplicate-key') return undefined;
  return { line: tree.finding.line, message: tree.finding.message };
}

/** JSON is YAML (YAML 1.2, 1.3), and the YAML reader knows lines. undefined: not to this reader. */
function treeOf(text: string): Tree | Refusal | undefined {
  try {
    return parseYaml({ file: '', directory: '/', env: {} }, text)[0];
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** V8 tells the offset in some of its messages only; a text that just ends, ends in its last line. */
function syntaxErrorLine(text: string, message: string): number | undefined {
  const [, offset] = /position (\d+)/.exec(message) ?? [];
  if (offset !== undefined) return text.slice(0, Number(offset)).split('\n').length;
  return /end of JSON input/.test(message) ? text.trimEnd().split('\n').length : undefined;
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (token === '[' || token === '{') deepest = Math.max(deepest, ++depth);
    if (token === ']' || token === '}') depth -= 1;
  }
  return deepest;
}
