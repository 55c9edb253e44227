// The `ports` of a service (compose-spec 05-services.md, ports; docker/go-connections nat.ParsePortSpec): what is
// published where. What depends on an unknown variable is left out. Pure.
import { interpolate } from './interpolate.ts';
import { child, textOf } from './tree-merge.ts';
import type { Tree } from './yaml-tree.ts';

export interface PublishedPort {
  file: string;
  line: number;
  /** undefined: all addresses. */
  hostIp: string | undefined;
  /** undefined: docker picks one. */
  hostPort: number | undefined;
  protocol: string;
}

interface Spec {
  hostIp: string | undefined;
  host: string | undefined;
  container: string;
  protocol: string;
}

const LAST_PORT = 65_535;

export function publishedPorts(service: Tree): PublishedPort[] {
  const ports = child(service, 'ports');
  if (ports?.kind !== 'list') return [];
  return ports.items.flatMap((entry) => {
    const spec = specOf(entry);
    if (spec === undefined) return [];
    const place = {
      file: entry.origin.file,
      line: entry.line,
      hostIp: anyAddress(spec.hostIp),
      protocol: spec.protocol,
    };
    return hostPorts(spec).map((hostPort) => ({ ...place, hostPort }));
  });
}

/** Whether docker can publish one of them only: the addresses overlap. */
export function isSamePort(a: PublishedPort, b: PublishedPort): boolean {
  if (a.hostPort === undefined || a.hostPort !== b.hostPort || a.protocol !== b.protocol) return false;
  if (a.hostIp === b.hostIp) return true;
  // One of them takes every address of its family.
  if (a.hostIp === undefined || b.hostIp === undefined) return true;
  return isV6(a.hostIp) === isV6(b.hostIp) && [a.hostIp, b.hostIp].some((ip) => ip === '0.0.0.0' || ip === '::');
}

function isV6(ip: string): boolean {
  return ip.includes(':');
}

function anyAddress(ip: string | undefined): string | undefined {
  return ip === '' ? undefined : ip?.replace(/^\[(.*)\]$/, '$1');
}

function specOf(entry: Tree): Spec | undefined {
  if (entry.kind === 'scalar') return shortSpec(resolved(entry));
  if (entry.kind !== 'map') return undefined;
  const container = resolved(child(entry, 'target'));
  if (container === undefined) return undefined;
  const published = child(entry, 'published');
  const host = resolved(published);
  if (published !== undefined && host === undefined) return undefined;
  const ip = child(entry, 'host_ip');
  const hostIp = resolved(ip);
  if (ip !== undefined && hostIp === undefined) return undefined;
  return {
    hostIp,
    host: host === '' ? undefined : host,
    container,
    protocol: resolved(child(entry, 'protocol')) ?? 'tcp',
  };
}

/** [IP:][HOST:]CONTAINER[/PROTOCOL], each a port or a range. */
function shortSpec(text: string | undefined): Spec | undefined {
  const [, rest = '', protocol = 'tcp'] = /^([^/]*)(?:\/([a-z]+))?$/i.exec(text ?? '/') ?? [];
  const [, hostIp, host, container] =
    /^(?:(\[[^\]]*\]|[0-9a-fA-F:]*:[0-9a-fA-F:]*(?=:\d*:)|[\d.]*):)?(?:([\d-]*):)?([\d-]+)$/.exec(rest) ?? [];
  if (container === undefined) return undefined;
  // "8080:80" has no address: the first part is taken for one only where a second follows.
  const noIp = host === undefined && hostIp !== undefined;
  const published = noIp ? hostIp : host;
  return {
    hostIp: noIp ? undefined : hostIp,
    host: published === '' ? undefined : published,
    container,
    protocol: protocol.toLowerCase(),
  };
}

function hostPorts({ host, container }: Spec): (number | undefined)[] {
  if (host === undefined) return [undefined];
  const range = rangeOf(host);
  const target = rangeOf(container);
  if (range === undefined || target === undefined) return [];
  const count = range[1] - range[0] + 1;
  // A range for one container port: docker takes whichever is free.
  if (count > 1 && target[0] === target[1]) return [undefined];
  return Array.from({ length: count }, (_, index) => range[0] + index);
}

function rangeOf(text: string): [number, number] | undefined {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range: [number, number] = [Number(first), Number(last)];
  return first === '' || range[0] > range[1] || range[1] > LAST_PORT ? undefined : range;
}

function resolved(tree: Tree | undefined): string | undefined {
  const text = textOf(tree);
  return text === undefined || tree === undefined ? undefined : interpolate(text, tree.origin.env);
}
