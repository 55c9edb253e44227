// What a service of a compose file does that works differently here than its author may think, or that crosses what
// keeps repositories apart. Rules on single services; compose-conflicts.ts has those between services. Pure.
import { type Bind, bindsOf, disguisedBind } from './binds.ts';
import type { Finding, Severity } from './finding.ts';
import { interpolate } from './interpolate.ts';
import { publishedPorts } from './ports.ts';
import { child, textOf } from './tree-merge.ts';
import type { Tree } from './yaml-tree.ts';

export interface ServiceToCheck {
  name: string;
  /** Of its name in the file. */
  line: number;
  value: Tree;
}

const WIDE_CAPABILITIES = ['ALL', 'SYS_ADMIN', 'NET_ADMIN', 'SYS_PTRACE', 'SYS_MODULE', 'SYS_RAWIO', 'MKNOD'];
const LOOPBACK = /^(127\.0\.0\.1|localhost|::1|\[::1\])$/;

export function checkService(service: ServiceToCheck, mountPoint: string): Finding[] {
  return [...reach(service), ...runnable(service), ...network(service), ...binds(service, mountPoint)];
}

/** Named volumes of somebody else, and binds that hide in a volume, secret or config. */
export function checkTopLevel(project: Tree, mountPoint: string): Finding[] {
  const found: Finding[] = [];
  for (const section of ['volumes', 'secrets', 'configs'] as const) {
    const entries = child(project, section);
    if (entries?.kind !== 'map') continue;
    for (const [name, { line, value }] of entries.entries) {
      const external = child(value, 'external');
      if (section === 'volumes' && (external?.kind === 'map' || textOf(external) === 'true')) {
        const message = `volume "${name}" is external: it must be made before, and belongs to no directory`;
        found.push(finding({ file: value.origin.file, line }, 'external-volume', message));
      }
      const bind = disguisedBind(section, value);
      const told = bind === undefined ? undefined : bindFinding(`${section}.${name}`, bind, mountPoint);
      if (told !== undefined) found.push(told);
    }
  }
  return found;
}

export function usesHostNetwork(service: Tree): boolean {
  return valueAt(child(service, 'network_mode')) === 'host';
}

function reach({ name, value }: ServiceToCheck): Finding[] {
  const found: Finding[] = [];
  const tell = (key: string, message: string) => {
    const place = child(value, key);
    if (place !== undefined) found.push(finding(placeOfTree(place), key.replaceAll('_', '-'), message));
  };
  if (valueAt(child(value, 'privileged')) === 'true') {
    tell('privileged', `service "${name}" is privileged: it can leave its repository, run only what you trust`);
  }
  if (valueAt(child(value, 'pid')) === 'host') {
    tell('pid', `service "${name}" sees and can end every process of the repository (pid: host)`);
  }
  const devices = child(value, 'devices');
  if (devices?.kind === 'list' && devices.items.length > 0) {
    tell('devices', `service "${name}" uses devices of the machine`);
  }
  const capabilities = child(value, 'cap_add');
  for (const item of capabilities?.kind === 'list' ? capabilities.items : []) {
    const capability = (valueAt(item) ?? '').toUpperCase().replace(/^CAP_/, '');
    if (!WIDE_CAPABILITIES.includes(capability)) continue;
    found.push(
      finding(placeOfTree(item), 'cap-add', `service "${name}" gets ${capability}, which reaches beyond its container`),
    );
  }
  return found;
}

function runnable({ name, line, value }: ServiceToCheck): Finding[] {
  if (child(value, 'image') !== undefined || child(value, 'build') !== undefined) return [];
  // Where its base could not be read, neither can be told.
  if (child(value, 'extends') !== undefined && child(child(value, 'extends'), 'file') !== undefined) return [];
  return [finding({ file: value.origin.file, line }, 'no-image', `service "${name}" has neither an image nor a build`)];
}

function network({ name, value }: ServiceToCheck): Finding[] {
  const ports = child(value, 'ports');
  if (usesHostNetwork(value)) {
    if (ports?.kind !== 'list' || ports.items.length === 0) return [];
    const message = `service "${name}" publishes ports with network_mode: host, where docker ignores them`;
    return [finding(placeOfTree(ports), 'host-mode-ports', message)];
  }
  return publishedPorts(value)
    .filter(({ hostIp }) => hostIp !== undefined && LOOPBACK.test(hostIp))
    .map((port) => {
      const what = port.hostPort === undefined ? 'a port' : `port ${port.hostPort}`;
      const message = `service "${name}" publishes ${what} on ${port.hostIp}: it answers inside the repository only, not on the server`;
      return finding(port, 'port-on-loopback', message);
    });
}

function binds({ name, value }: ServiceToCheck, mountPoint: string): Finding[] {
  return bindsOf(value)
    .map((bind) => bindFinding(`service "${name}"`, bind, mountPoint))
    .filter((found) => found !== undefined);
}

const DOCKER_SOCKET = /^\/(?:var\/)?run\/docker\.sock$/;
const OWN_SOCKET = /^\/(?:var\/)?run\/rediacc\/docker-\d+\.sock$/;
const HARMLESS =
  /^\/(etc\/(localtime|timezone|machine-id|ssl\/certs|ca-certificates)|usr\/share\/(zoneinfo|ca-certificates))(\/|$)/;

function bindFinding(who: string, bind: Bind, mountPoint: string): Finding | undefined {
  const { path } = bind;
  if (path === mountPoint || path.startsWith(`${mountPoint}/`)) return undefined;
  if (DOCKER_SOCKET.test(path)) {
    const message = `${who} binds ${path}, which is the repository's own docker here, not the host's: it controls every container of the repository`;
    return finding(bind, 'docker-socket', message);
  }
  if (OWN_SOCKET.test(path)) {
    return finding(
      bind,
      'own-docker-socket',
      `${who} binds the repository's docker socket: it controls every container of the repository`,
      'note',
    );
  }
  const harmless = bind.readOnly && HARMLESS.test(path);
  const end = harmless ? 'read-only' : 'outside the repository: neither encrypted nor moved with it';
  return finding(bind, 'host-path', `${who} binds ${path} of the machine, ${end}`, harmless ? 'note' : 'warning');
}

function valueAt(tree: Tree | undefined): string | undefined {
  const text = textOf(tree);
  return text === undefined || tree === undefined ? undefined : interpolate(text, tree.origin.env);
}

function placeOfTree({ origin, line }: Tree): { file: string; line: number } {
  return { file: origin.file, line };
}

function finding(
  place: { file: string; line: number },
  rule: string,
  message: string,
  severity: Severity = 'warning',
): Finding {
  return { file: place.file, line: place.line, rule, severity, message };
}
