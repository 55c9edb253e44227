// One compose file, read and looked at: what cannot be a compose file at all is refused, what compose itself will
// complain about is told.
import { posix } from 'node:path';
import { Refusal } from '../network/finding.ts';
import { child } from '../network/tree-merge.ts';
import { parseYaml, type Tree } from '../network/yaml-tree.ts';
import type { ComposeSource } from './compose-source.ts';
import type { InsideRead } from './system.ts';

/** The largest compose files people have are some tens of KiB. */
export const MAX_BYTES = 1024 ** 2;
/** Of one repository. */
const MAX_READS = 1000;
const MAX_DOCUMENTS = 100;

export interface FileToRead {
  /** Absolute. */
  file: string;
  directory: string;
  env: Readonly<Record<string, string>>;
  /** Who named it, if it was not found by its own name. */
  namedBy?: Tree;
}

/** Its documents; none where it is missing, which is told: prep may yet write it. Throws a Refusal. */
export async function readTrees(source: ComposeSource, { file, directory, env, namedBy }: FileToRead): Promise<Tree[]> {
  const { system, mountPoint, findings } = source;
  const shown = posix.relative(mountPoint, file);
  const at = namedBy === undefined ? { file: shown } : { file: namedBy.origin.file, line: namedBy.line };
  source.reads.count += 1;
  if (source.reads.count > MAX_READS) {
    throw new Refusal({
      ...at,
      rule: 'compose',
      message: `more than ${MAX_READS} compose files are included or extended`,
    });
  }
  const inside = file.startsWith(`${mountPoint}/`);
  const read = inside ? await system.readInside(mountPoint, file, MAX_BYTES) : ({ refused: 'outside' } as const);
  if ('text' in read) {
    const trees = parseYaml({ file: shown, directory, env }, read.text);
    if (trees.length > MAX_DOCUMENTS) {
      throw new Refusal({ file: shown, rule: 'yaml', message: `more than ${MAX_DOCUMENTS} documents in one file` });
    }
    if (trees.length === 0) findings.push({ file: shown, ...WARNING, message: 'the file is empty' });
    return trees.filter((tree) => isComposeDocument(source, shown, tree));
  }
  const name = inside ? shown : file;
  if (read.refused !== 'absent')
    throw new Refusal({ ...at, rule: 'outside', message: `"${name}" ${REASONS[read.refused]}` });
  findings.push({ ...at, rule: 'missing-file', severity: 'warning', message: `"${name}" is not there` });
  return [];
}

/** compose-spec.json: its properties and pattern properties. */
const TOP_LEVEL = /^(name|version|services|networks|volumes|secrets|configs|include|x-.*)$/s;
const WARNING = { rule: 'compose', severity: 'warning' } as const;

const REASONS: Readonly<Record<Exclude<Extract<InsideRead, { refused: string }>['refused'], 'absent'>, string>> = {
  outside: 'is outside the repository: only files inside it are read',
  unreadable: 'is not a readable file',
  'too-large': `is larger than ${MAX_BYTES} bytes`,
  'not-text': 'is not UTF-8 text',
};

function isComposeDocument({ findings }: ComposeSource, file: string, tree: Tree): boolean {
  if (tree.kind === 'scalar' && tree.value === null) {
    findings.push({ file, line: tree.line, ...WARNING, message: 'an empty document, which docker compose refuses' });
    return false;
  }
  if (tree.kind !== 'map') {
    throw new Refusal({ file, line: tree.line, rule: 'compose', message: 'a compose file is a mapping' });
  }
  for (const [name, { line }] of tree.entries) {
    if (TOP_LEVEL.test(name)) continue;
    findings.push({
      file,
      line,
      ...WARNING,
      message: `"${name}" is no part of a compose file, and docker compose refuses it`,
    });
  }
  const services = child(tree, 'services');
  if (services === undefined || services.tag === 'reset') return true;
  if (services.kind === 'scalar' && services.value === null) {
    findings.push({
      file,
      line: services.line,
      ...WARNING,
      message: '"services" is empty, which docker compose refuses',
    });
    return true;
  }
  if (services.kind !== 'map') throw notAMapping('services', services);
  for (const [name, { value }] of services.entries) {
    const isNull = value.kind === 'scalar' && value.value === null;
    if (value.kind !== 'map' && !isNull && value.tag === undefined) throw notAMapping(`services.${name}`, value);
  }
  return true;
}

function notAMapping(what: string, { origin, line }: Tree): Refusal {
  return new Refusal({ file: origin.file, line, rule: 'compose', message: `${what} must be a mapping` });
}
