// The network namespace of a repository: a veth pair, its /26 routed into it, sources declared to the guard.
// The lines become the Exec lines of rediacc-net@, so that neither boot nor shutdown needs a program of ours.
import { linkAddresses, linkAddresses6, subnet } from '../network/address.ts';
import type { Command } from './command.ts';
import { command } from './command.ts';
import type { RepoTarget } from './target.ts';
import type { UnitSections } from './unit-text.ts';
import { execLine } from './unit-text.ts';

/** Name of the link's end inside the namespace. */
const INNER_LINK = 'rd0';
/** Set of (interface, source address) pairs that the guard lets pass; see guard.ts. */
const SOURCES = ['inet', 'rediacc', 'sources'] as const;
const SOURCES6 = ['inet', 'rediacc', 'sources6'] as const;
/** The way out over IPv6. No interface of the host has this address: it only stands for the host's end of the link. */
const GATEWAY6 = 'fe80::1';

/** IPv6 of the host: the kernel has none, there is no way out over it, there is one. Decides what a namespace gets. */
export type HostIpv6 = 'absent' | 'inside' | 'outbound';

/** Everything in order; each line must succeed. */
export function namespaceUp(target: RepoTarget, ipv6: HostIpv6): Command[] {
  const { namespace, hostLink } = target.net;
  const link = linkAddresses(target.linkIndex);
  const block = subnet(target.networkId);
  const inside = (...args: string[]) => command('ip', '-n', namespace, ...args);
  const sysctlInside = (...args: string[]) => command('ip', 'netns', 'exec', namespace, 'sysctl', '-q', '-w', ...args);
  return [
    command('ip', 'netns', 'add', namespace),
    command('ip', 'link', 'add', hostLink, 'type', 'veth', 'peer', 'name', INNER_LINK, 'netns', namespace),
    command('sysctl', '-q', '-w', `net.ipv4.conf.${hostLink}.route_localnet=1`),
    sysctlInside(`net.ipv4.conf.${INNER_LINK}.route_localnet=1`),
    ...(ipv6 === 'absent'
      ? []
      : [command('sysctl', '-q', '-w', ...settings6(hostLink, ipv6)), sysctlInside(...settings6(INNER_LINK, ipv6))]),
    command('nft', 'add', 'element', ...SOURCES, sourceElements(target)),
    command('ip', 'addr', 'add', `${link.host}/31`, 'dev', hostLink),
    command('ip', 'link', 'set', hostLink, 'up'),
    inside('addr', 'add', `${link.namespace}/31`, 'dev', INNER_LINK),
    inside('link', 'set', INNER_LINK, 'up'),
    inside('link', 'set', 'lo', 'up'),
    // In the namespace only 127.0.0.1 and the own /26 are local.
    inside('route', 'del', 'local', '127.0.0.0/8', 'dev', 'lo', 'table', 'local'),
    inside('route', 'add', 'local', block, 'dev', 'lo', 'table', 'local', 'src', '127.0.0.1'),
    inside('route', 'add', 'default', 'via', link.host),
    // More specific than the host's own local 127.0.0.0/8.
    command('ip', 'route', 'add', block, 'via', link.namespace, 'dev', hostLink, 'src', link.host, 'table', 'local'),
    ...(ipv6 === 'outbound' ? routed6(target) : []),
  ];
}

/** Before a link is up: off, or without the addresses and routes that the kernel would give it by itself. */
function settings6(link: string, ipv6: HostIpv6): string[] {
  const own =
    ipv6 === 'outbound'
      ? ['addr_gen_mode=1', 'accept_ra=0', 'accept_redirects=0', 'disable_ipv6=0']
      : ['disable_ipv6=1'];
  return own.map((setting) => `net.ipv6.conf.${link}.${setting}`);
}

/** The host's end has no address, and hardware addresses are told: the guard can drop all neighbour discovery. */
function routed6(target: RepoTarget): Command[] {
  const { namespace, hostLink } = target.net;
  const link = linkAddresses6(target.linkIndex);
  const inside = (...args: string[]) => command('ip', '-6', '-n', namespace, ...args);
  return [
    command('nft', 'add', 'element', ...SOURCES6, sourceElement6(target)),
    command('ip', 'link', 'set', hostLink, 'address', link.hostMac),
    inside('link', 'set', INNER_LINK, 'address', link.namespaceMac),
    inside('addr', 'add', `${link.namespace}/128`, 'dev', INNER_LINK, 'nodad'),
    inside('neigh', 'add', GATEWAY6, 'lladdr', link.hostMac, 'dev', INNER_LINK, 'nud', 'permanent'),
    inside('route', 'add', 'default', 'via', GATEWAY6, 'dev', INNER_LINK),
    command(
      'ip',
      '-6',
      'neigh',
      'add',
      link.namespace,
      'lladdr',
      link.namespaceMac,
      'dev',
      hostLink,
      'nud',
      'permanent',
    ),
    command('ip', '-6', 'route', 'add', link.namespace, 'dev', hostLink),
  ];
}

/** Removes what namespaceUp made, whatever part of it exists. Deleting the link takes its routes and addresses along. */
export function namespaceDown(target: RepoTarget): Command[] {
  const { namespace, hostLink } = target.net;
  return [
    command('ip', 'link', 'del', hostLink),
    command('ip', 'netns', 'del', namespace),
    command('nft', 'delete', 'element', ...SOURCES, sourceElements(target)),
    command('nft', 'delete', 'element', ...SOURCES6, sourceElement6(target)),
  ];
}

/** Drop-in of rediacc-net@{guid}. */
export function namespaceDropIn(target: RepoTarget, ipv6: HostIpv6): UnitSections {
  const cleanup = namespaceDown(target);
  return [
    ['Unit', [['Description', `network namespace of repository ${target.name}`]]],
    [
      'Service',
      [
        // What a crash left would make the first line fail.
        ...cleanup.map((line) => ['ExecStartPre', execLine(line, true)] as const),
        ['ExecStart', ''] as const,
        ...namespaceUp(target, ipv6).map((line) => ['ExecStart', execLine(line)] as const),
        // ExecStopPost also runs after a start that failed half way, which ExecStop does not.
        ...cleanup.map((line) => ['ExecStopPost', execLine(line, true)] as const),
      ],
    ],
  ];
}

function sourceElements(target: RepoTarget): string {
  const { hostLink } = target.net;
  const sources = [linkAddresses(target.linkIndex).namespace, subnet(target.networkId)];
  return `{ ${sources.map((source) => `"${hostLink}" . ${source}`).join(', ')} }`;
}

function sourceElement6(target: RepoTarget): string {
  return `{ "${target.net.hostLink}" . ${linkAddresses6(target.linkIndex).namespace} }`;
}
