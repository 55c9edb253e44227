// Names of services as they are written, before any of them gets a slot: each must make a variable, no two the same one,
// and all must fit. Pure.
import { LAST_SLOT } from './address.ts';
import { type Finding, placeOf } from './finding.ts';
import { isLegalName, type ServicesFile, serviceVariable } from './services.ts';

export interface NamedService {
  name: string;
  /** Directory of its Rediaccfile, relative to the mount; "" is the root. */
  directory: string;
  file: string;
  line: number;
}

/** Names in the order in which they get slots. */
export function distinctNames(services: readonly NamedService[]): string[] {
  return [...new Set(services.map(({ name }) => name))];
}

/** `file`: services that have a slot already, vanished ones among them, take part. */
export function checkNames(services: readonly NamedService[], file: ServicesFile): Finding[] {
  return [...illegal(services), ...collisions(services, file), ...shared(services), ...tooMany(services, file)];
}

function illegal(services: readonly NamedService[]): Finding[] {
  return services
    .filter(({ name }) => !isLegalName(name))
    .map((service) =>
      finding(
        service,
        'service-name',
        'error',
        `service "${service.name}" would need the variable ${serviceVariable(service.name)}, which is no legal name: use ASCII letters, digits, "-" and "_", and start with a letter or "_"`,
      ),
    );
}

function collisions(services: readonly NamedService[], file: ServicesFile): Finding[] {
  const owners = new Map(
    Object.keys(file.services).map((name) => [serviceVariable(name), { name, where: '.rediacc.json' }]),
  );
  const found: Finding[] = [];
  for (const service of services) {
    const variable = serviceVariable(service.name);
    const owner = owners.get(variable);
    if (owner === undefined) owners.set(variable, { name: service.name, where: placeOf(service) });
    else if (owner.name !== service.name) {
      const message = `services "${owner.name}" (${owner.where}) and "${service.name}" would share the variable ${variable}: rename one of them`;
      found.push(finding(service, 'service-collision', 'error', message));
    }
  }
  return found;
}

function shared(services: readonly NamedService[]): Finding[] {
  const first = new Map<string, NamedService>();
  const found: Finding[] = [];
  for (const service of services) {
    const before = first.get(service.name);
    if (before === undefined) first.set(service.name, service);
    else if (before.directory !== service.directory) {
      const message = `service "${service.name}" is in more than one directory, also in ${placeOf(before)}: both share one address`;
      found.push(finding(service, 'shared-slot', 'warning', message));
    }
  }
  return found;
}

function tooMany(services: readonly NamedService[], file: ServicesFile): Finding[] {
  const room = Math.max(0, LAST_SLOT + 1 - Object.keys(file.services).length);
  const added = distinctNames(services).filter((name) => !Object.hasOwn(file.services, name));
  const rest = new Set(added.slice(room));
  const found: Finding[] = [];
  for (const service of services) {
    // Told where it is first.
    if (!rest.delete(service.name)) continue;
    const message = `service "${service.name}" is one too many: a repository holds ${LAST_SLOT + 1} services, vanished ones included until their slots are pruned`;
    found.push(finding(service, 'too-many-services', 'error', message));
  }
  return found;
}

function finding({ file, line }: NamedService, rule: string, severity: Finding['severity'], message: string): Finding {
  return { file, line, rule, severity, message };
}
