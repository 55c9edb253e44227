// Names of the services in a compose file as people write them: anchors, merge keys, both file name styles.
// Pure: text in, names out. `include` and `extends` name further files, which the caller reads.
import { parseDocument } from 'yaml';
import * as z from 'zod';
import { RdcError } from '../protocol/errors.ts';

/** In the order compose prefers them (compose-go cli/options.go: DefaultFileNames). */
export const COMPOSE_FILE_NAMES = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'] as const;
/** Merged over the main file when present (DefaultOverrideFileNames). */
export const COMPOSE_OVERRIDE_NAMES = [
  'compose.override.yml',
  'compose.override.yaml',
  'docker-compose.override.yml',
  'docker-compose.override.yaml',
] as const;
/** A legitimate file has a handful of aliases; more is an expansion bomb. */
const MAX_ALIASES = 200;

const composeSchema = z.looseObject({
  services: z.record(z.string(), z.looseObject({ network_mode: z.string().optional() }).nullable()).nullish(),
  include: z
    .array(z.union([z.string(), z.looseObject({ path: z.union([z.string(), z.array(z.string())]) })]))
    .nullish(),
});

export interface ComposeService {
  name: string;
  /** In the repository's namespace itself, not on a bridge. */
  hostNetwork: boolean;
}

export interface ComposeFile {
  /** In the order of the file: new services get their slots in this order. */
  services: ComposeService[];
  /** Further files, relative to this one. */
  includes: string[];
}

/** Throws INVALID_INPUT with path and line. */
export function parseComposeFile(path: string, text: string): ComposeFile {
  const document = parseDocument(text, { merge: true, prettyErrors: true });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const line = problem.linePos?.[0].line;
    throw new RdcError(
      'INVALID_INPUT',
      `${path}${line === undefined ? '' : `:${line}`}: ${problem.message.split('\n')[0] ?? ''}`,
    );
  }
  const parsed = composeSchema.safeParse(document.toJS({ maxAliasCount: MAX_ALIASES }) ?? {});
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new RdcError(
      'INVALID_INPUT',
      `${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a compose file'}`,
    );
  }
  const services = Object.entries(parsed.data.services ?? {}).map(([name, service]) => ({
    name,
    hostNetwork: service?.network_mode === 'host',
  }));
  const includes = (parsed.data.include ?? []).flatMap((entry) => (typeof entry === 'string' ? [entry] : entry.path));
  return { services, includes };
}
