// `extends`: a service that starts from another one, of the same file or of another (compose-go loader/extends.go).
// Applied file by file, before overrides and includes, so an included service cannot be extended.
import { posix } from 'node:path';
import { type Extends, extendsOf } from '../network/compose-references.ts';
import { Refusal } from '../network/finding.ts';
import { child, mergeTrees } from '../network/tree-merge.ts';
import type { Tree, YamlMapping } from '../network/yaml-tree.ts';
import { readTrees } from './compose-documents.ts';
import type { ComposeSource } from './compose-source.ts';

/** Nobody has a chain this long; without a bound a hostile file of many long ones takes for ever. */
const LONGEST_CHAIN = 50;

interface Place {
  /** Absolute. */
  file: string;
  document: Tree;
}

/** The document with every service complete. Throws a Refusal for a circle and for a file outside the repository. */
export async function applyExtends(source: ComposeSource, place: Place): Promise<Tree> {
  const services = child(place.document, 'services');
  if (place.document.kind !== 'map' || services?.kind !== 'map') return place.document;
  const entries: YamlMapping['entries'] = new Map();
  const files = new Map<string, Tree[]>();
  for (const [name, { line, value }] of services.entries) {
    const complete = await new Extension(source, files).complete(place, name, value);
    // What is taken away is taken away from the files before, whatever it extends.
    entries.set(name, { line, value: value.tag === undefined ? complete : value });
  }
  const line = place.document.entries.get('services')?.line ?? services.line;
  const whole = new Map(place.document.entries).set('services', { line, value: { ...services, entries } });
  return { ...place.document, entries: whole };
}

class Extension {
  readonly #source: ComposeSource;
  readonly #files: Map<string, Tree[]>;
  readonly #chain: string[] = [];

  constructor(source: ComposeSource, files: Map<string, Tree[]>) {
    this.#source = source;
    this.#files = files;
  }

  async complete(place: Place, name: string, service: Tree): Promise<Tree> {
    const base = extendsOf(service);
    if (base === undefined) return service;
    const link = `"${name}" in ${posix.relative(this.#source.mountPoint, place.file)}`;
    if (this.#chain.includes(link)) {
      const message = `"extends" goes in a circle: ${[...this.#chain, link].join(' -> ')}`;
      throw new Refusal({ file: base.at.origin.file, line: base.at.line, rule: 'extends', message });
    }
    this.#chain.push(link);
    if (this.#chain.length > LONGEST_CHAIN) {
      const { origin, line } = base.at;
      const message = `"extends" goes over more than ${LONGEST_CHAIN} services`;
      throw new Refusal({ file: origin.file, line, rule: 'extends', message });
    }
    const from = await this.#placeOf(base, place);
    if (from === undefined) return service;
    const found = child(child(from.document, 'services'), base.service);
    if (found === undefined) {
      this.#tell(base, 'extends', `there is no service "${base.service}" to extend, which docker compose refuses`);
      return service;
    }
    const complete = await this.complete(from, base.service, found);
    return mergeTrees(complete, service) ?? service;
  }

  async #placeOf(base: Extends, place: Place): Promise<Place | undefined> {
    const { file: reference } = base;
    if (reference === undefined) return place;
    if (reference.path === undefined || reference.remote) {
      const why = reference.remote ? 'is fetched from elsewhere' : 'depends on a variable that is set elsewhere';
      this.#tell(base, 'extends', `"${reference.written}" ${why}: what it adds to the service is not checked`);
      return undefined;
    }
    const { origin } = base.at;
    const file = posix.resolve(origin.directory, reference.path);
    const documents = this.#files.get(file) ?? (await this.#read(file, base));
    this.#files.set(file, documents);
    const document = documents.find((one) => child(child(one, 'services'), base.service) !== undefined) ?? documents[0];
    return document === undefined ? undefined : { file, document };
  }

  /** Relative paths in it start where it lies. */
  #read(file: string, { at }: Extends): Promise<Tree[]> {
    return readTrees(this.#source, { file, directory: posix.dirname(file), env: at.origin.env, namedBy: at });
  }

  #tell({ at }: Extends, rule: string, message: string): void {
    this.#source.findings.push({ file: at.origin.file, line: at.line, rule, severity: 'warning', message });
  }
}
