// Services on a bridge network that are told addresses of services: a container there has a 127.0.0.0/8 of its own, so these lead
// nowhere. Read in what a program is started with, not in "ports", where an address is docker's to listen on. Pure.

import type { NetworkId } from '../protocol/ids.ts';
import { LAST_SLOT, serviceAddress } from './address.ts';
import type { Finding } from './finding.ts';
import { interpolate } from './interpolate.ts';
import { serviceVariable } from './services.ts';
import { child, textOf } from './tree-merge.ts';
import type { Tree } from './yaml-tree.ts';

export interface AddressedService {
  name: string;
  /** Of its Rediaccfile: services of one directory reach each other by name. */
  directory: string;
  value: Tree;
}

/** Where a program finds addresses. */
const PLACES = ['environment', 'command', 'entrypoint', 'healthcheck'] as const;

export function addressUses(services: readonly AddressedService[], networkId: NetworkId): Finding[] {
  const owners = new Map(services.map((service) => [serviceVariable(service.name), service]));
  const block = new Set(Array.from({ length: LAST_SLOT + 1 }, (_, slot) => serviceAddress(networkId, slot)));
  return services.filter(isBridged).flatMap((service) =>
    PLACES.flatMap((place) => scalarsIn(child(service.value, place), place === 'environment')).flatMap((use) => {
      const used = use.text.replaceAll('$$', '').match(/\$\{?\w+|\b127(?:\.\d+){3}\b/g) ?? [];
      const told = [...used.map((word) => word.replace(/^\$\{?/, '')), ...(use.passedOn ?? [])];
      const word = told.find((name) => owners.has(name) || block.has(name));
      return word === undefined ? [] : [finding(service, use.tree, word, owners.get(word))];
    }),
  );
}

/** In a network of containers, as far as can be told: not the repository's own, and not that of another service. */
function isBridged({ value }: AddressedService): boolean {
  const mode = child(value, 'network_mode');
  if (mode === undefined) return true;
  return interpolate(textOf(mode) ?? '', mode.origin.env) === 'bridge';
}

interface Use {
  tree: Tree;
  text: string;
  /** A variable of the environment that is named without a value has the function's. */
  passedOn?: string[];
}

function scalarsIn(tree: Tree | undefined, isEnvironment: boolean): Use[] {
  if (tree === undefined) return [];
  if (tree.kind === 'scalar') {
    const text = textOf(tree) ?? '';
    return [{ tree, text, ...(isEnvironment ? { passedOn: [text] } : {}) }];
  }
  if (tree.kind === 'list') return tree.items.flatMap((item) => scalarsIn(item, isEnvironment));
  return [...tree.entries].flatMap(([name, { value }]) =>
    value.kind === 'scalar' && value.value === null && isEnvironment
      ? [{ tree: value, text: '', passedOn: [name] }]
      : scalarsIn(value, false),
  );
}

function finding(service: AddressedService, { origin, line }: Tree, word: string, owner?: AddressedService): Finding {
  const byName = owner !== undefined && owner.directory === service.directory && isBridged(owner);
  const instead = byName
    ? `use its name, "${owner.name}"`
    : 'use host.docker.internal, with extra_hosts: ["host.docker.internal:host-gateway"]';
  const message = `service "${service.name}" is told ${word}, which in its container is the container itself: ${instead}`;
  return { file: origin.file, line, rule: 'service-address', severity: 'warning', message };
}
