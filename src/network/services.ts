// .rediacc.json: which slot each service has. A service never changes its slot; a vanished one keeps it. Unknown
// keys are kept. Pure: texts in, texts out.
import * as z from 'zod';
import { RdcError } from '../protocol/errors.ts';
import type { NetworkId } from '../protocol/ids.ts';
import { LAST_SLOT, serviceAddress } from './address.ts';

const fileSchema = z.looseObject({
  services: z.record(z.string().min(1), z.looseObject({ slot: z.number().int().min(0).max(LAST_SLOT) })).default({}),
});
export type ServicesFile = z.infer<typeof fileSchema>;

/** Throws CONFIG_INVALID with path and reason; a torn or hand-broken file is never guessed at. */
export function parseServicesFile(path: string, text: string | undefined): ServicesFile {
  if (text === undefined) return { services: {} };
  const parsed = fileSchema.safeParse(parseJson(path, text));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new RdcError('CONFIG_INVALID', `${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`);
  }
  const bySlot = new Map<number, string>();
  for (const [name, { slot }] of Object.entries(parsed.data.services)) {
    const other = bySlot.get(slot);
    if (other !== undefined)
      throw new RdcError('CONFIG_INVALID', `${path}: "${other}" and "${name}" both have slot ${slot}`);
    bySlot.set(slot, name);
  }
  return parsed.data;
}

/** Gives each new name the lowest free slot, in the order of `names`. Throws INVALID_INPUT naming the first service that does not fit. */
export function mergeServices(file: ServicesFile, names: readonly string[]): ServicesFile {
  const services = { ...file.services };
  const used = new Set(Object.values(services).map(({ slot }) => slot));
  for (const name of names) {
    if (Object.hasOwn(services, name)) continue;
    let slot = 0;
    while (used.has(slot)) slot += 1;
    if (slot > LAST_SLOT) {
      throw new RdcError(
        'INVALID_INPUT',
        `service "${name}" is one too many: a repository holds ${LAST_SLOT + 1} services`,
        {
          hint: 'rdc repo validate NAME --prune-slots frees the slots of services that are gone',
        },
      );
    }
    used.add(slot);
    services[name] = { slot };
  }
  return { ...file, services };
}

/** Keys sorted, so that the same services are the same bytes. */
export function formatServicesFile(file: ServicesFile): string {
  return `${JSON.stringify(sortKeys(file), null, 2)}\n`;
}

/** "listmonk-app" -> "LISTMONK_APP_IP" */
export function serviceVariable(name: string): string {
  return `${name.toUpperCase().replaceAll('-', '_')}_IP`;
}

/** All `{SERVICE}_IP` variables. Throws INVALID_INPUT where two services collide or a name is no legal variable (POSIX 8.1). */
export function serviceEnvironment(id: NetworkId, { services }: ServicesFile): Record<string, string> {
  const owners = new Map<string, string>();
  const environment: Record<string, string> = {};
  for (const [name, { slot }] of Object.entries(services)) {
    const variable = serviceVariable(name);
    if (!/^[A-Z_][A-Z0-9_]*$/.test(variable)) {
      throw new RdcError(
        'INVALID_INPUT',
        `service "${name}" would need the variable ${variable}, which is no legal name`,
        {
          hint: 'rename the service: letters, digits, "-" and "_", not starting with a digit',
        },
      );
    }
    const other = owners.get(variable);
    if (other !== undefined) {
      throw new RdcError('INVALID_INPUT', `services "${other}" and "${name}" would share the variable ${variable}`, {
        hint: 'rename one of them',
      });
    }
    owners.set(variable, name);
    environment[variable] = serviceAddress(id, slot);
  }
  return environment;
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RdcError(
      'CONFIG_INVALID',
      `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      {
        hint: 'mend it by hand; a service that loses its slot changes its address',
        cause: error,
      },
    );
  }
}

function sortKeys(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortKeys(inner)]));
}
