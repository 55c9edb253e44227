// .rediacc.json: which slot each service has. A service never changes its slot; a vanished one keeps it. Unknown
// keys are kept. Pure: texts in, texts out.
import { RdcError } from '../protocol/errors.ts';
import type { NetworkId } from '../protocol/ids.ts';
import { LAST_SLOT, serviceAddress } from './address.ts';
import { invalid, lineOf, parseServicesJson } from './services-json.ts';

export interface ServiceEntry {
  slot: number;
  [unknown: string]: unknown;
}
export interface ServicesFile {
  /** Without a prototype: "constructor" and "__proto__" are names like any other. */
  services: Record<string, ServiceEntry>;
  [unknown: string]: unknown;
}

/** Throws CONFIG_INVALID with path, line and reason; a torn or hand-broken file is never guessed at. */
export function parseServicesFile(path: string, text: string | undefined): ServicesFile {
  if (text === undefined) return { services: table() };
  const value = parseServicesJson(path, text);
  if (!isObject(value)) throw invalid(path, 1, 'must be an object with "services"');
  const { services = {} } = value;
  if (!isObject(services)) throw invalid(path, lineOf(text, ['services']), '"services" must be an object');
  const entries = table();
  const bySlot = new Map<number, string>();
  for (const [name, entry] of Object.entries(services)) {
    const refuse = (message: string) => invalid(path, lineOf(text, ['services', name, 'slot']), message);
    if (name === '') throw refuse('a service without a name');
    if (!isEntry(entry)) throw refuse(`services.${name}.slot must be a whole number from 0 to ${LAST_SLOT}`);
    const other = bySlot.get(entry.slot);
    if (other !== undefined) throw refuse(`"${other}" and "${name}" both have slot ${entry.slot}`);
    bySlot.set(entry.slot, name);
    entries[name] = entry;
  }
  return { ...value, services: entries };
}

/** Gives each new name the lowest free slot, in the order of `names`. Throws INVALID_INPUT naming the first service that does not fit. */
export function mergeServices(file: ServicesFile, names: readonly string[]): ServicesFile {
  const services = Object.assign(table(), file.services);
  const used = new Set(Object.values(services).map(({ slot }) => slot));
  let slot = 0;
  for (const name of names) {
    if (Object.hasOwn(services, name)) continue;
    while (used.has(slot)) slot += 1;
    if (slot > LAST_SLOT) {
      throw new RdcError(
        'INVALID_INPUT',
        `service "${name}" is one too many: a repository holds ${LAST_SLOT + 1} services`,
        { hint: 'rdc repo validate NAME --prune-slots frees the slots of services that are gone' },
      );
    }
    used.add(slot);
    services[name] = { slot };
  }
  return { ...file, services };
}

/** Without the services that `names` does not have; they were in the compose files once. */
export function pruneServices(file: ServicesFile, names: readonly string[]): { file: ServicesFile; pruned: string[] } {
  const kept = new Set(names);
  const pruned = Object.keys(file.services).filter((name) => !kept.has(name));
  const services = table();
  for (const [name, entry] of Object.entries(file.services)) if (kept.has(name)) services[name] = entry;
  return { file: { ...file, services }, pruned: pruned.sort() };
}

/** Keys sorted, so that the same services are the same bytes. */
export function formatServicesFile(file: ServicesFile): string {
  return `${JSON.stringify(sortKeys(file), null, 2)}\n`;
}

/** "listmonk-app" -> "LISTMONK_APP_IP" */
export function serviceVariable(name: string): string {
  return `${name.toUpperCase().replaceAll('-', '_')}_IP`;
}

/** What compose takes (compose-spec.json, services) and makes a variable (POSIX 8.1): other letters may become ASCII in upper case. */
export function isLegalName(name: string): boolean {
  return /^[A-Za-z0-9._-]+$/.test(name) && /^[A-Z_][A-Z0-9_]*$/.test(serviceVariable(name));
}

/** All `{SERVICE}_IP` variables. Throws INVALID_INPUT where two services collide or a name is no legal variable. */
export function serviceEnvironment(
  id: NetworkId,
  { services }: Pick<ServicesFile, 'services'>,
): Record<string, string> {
  const owners = new Map<string, string>();
  const environment: Record<string, string> = {};
  for (const [name, { slot }] of Object.entries(services)) {
    const variable = serviceVariable(name);
    if (!isLegalName(name)) {
      throw new RdcError(
        'INVALID_INPUT',
        `service "${name}" would need the variable ${variable}, which is no legal name`,
        { hint: 'rename the service: letters, digits, "-" and "_", not starting with a digit' },
      );
    }
    const other = owners.get(variable);
    if (other !== undefined) {
      throw new RdcError('INVALID_INPUT', `services "${other}" and "${name}" would share the variable ${variable}`, {
        hint: 'rename one of them; if one is gone: rdc repo validate NAME --prune-slots',
      });
    }
    owners.set(variable, name);
    environment[variable] = serviceAddress(id, slot);
  }
  return environment;
}

function table(): Record<string, ServiceEntry> {
  return Object.create(null) as Record<string, ServiceEntry>;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function isEntry(value: unknown): value is ServiceEntry {
  if (!isObject(value) || !Object.hasOwn(value, 'slot')) return false;
  const { slot } = value;
  return typeof slot === 'number' && Number.isInteger(slot) && slot >= 0 && slot <= LAST_SLOT;
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  // fromEntries defines its keys: "__proto__" stays one.
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortKeys(inner)]));
}
