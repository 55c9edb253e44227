// The network namespace of a repository: a veth pair, its /26 routed into it, sources declared to the guard.
// The lines become the Exec lines of rediacc-net@, so that neither boot nor shutdown needs a program of ours.
import { linkAddresses, subnet } from '../network/address.ts';
import type { Command } from './command.ts';
import { command } from './command.ts';
import type { RepoTarget } from './target.ts';
import type { UnitSections } from './unit-text.ts';
import { execLine } from './unit-text.ts';

/** Name of the link's end inside the namespace. */
const INNER_LINK = 'rd0';
/** Set of (interface, source address) pairs that the guard lets pass; see guard.ts. */
const SOURCES = ['inet', 'rediacc', 'sources'] as const;

/** Everything in order; each line must succeed. */
export function namespaceUp(target: RepoTarget): Command[] {
  const { namespace, hostLink } = target.net;
  const link = linkAddresses(target.linkIndex);
  const block = subnet(target.networkId);
  const inside = (...args: string[]) => command('ip', '-n', namespace, ...args);
  const sysctlInside = (...args: string[]) => command('ip', 'netns', 'exec', namespace, 'sysctl', '-q', '-w', ...args);
  return [
    command('ip', 'netns', 'add', namespace),
    command('ip', 'link', 'add', hostLink, 'type', 'veth', 'peer', 'name', INNER_LINK, 'netns', namespace),
    // IPv6 would reach the host over link-local addresses, past rules written for IPv4.
    command(
      'sysctl',
      '-q',
      '-w',
      `net.ipv6.conf.${hostLink}.disable_ipv6=1`,
      `net.ipv4.conf.${hostLink}.route_localnet=1`,
    ),
    sysctlInside(`net.ipv6.conf.${INNER_LINK}.disable_ipv6=1`, `net.ipv4.conf.${INNER_LINK}.route_localnet=1`),
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
  ];
}

/** Removes what namespaceUp made, whatever part of it exists. Deleting the link takes its routes and addresses along. */
export function namespaceDown(target: RepoTarget): Command[] {
  const { namespace, hostLink } = target.net;
  return [
    command('ip', 'link', 'del', hostLink),
    command('ip', 'netns', 'del', namespace),
    command('nft', 'delete', 'element', ...SOURCES, sourceElements(target)),
  ];
}

/** Drop-in of rediacc-net@{guid}. */
export function namespaceDropIn(target: RepoTarget): UnitSections {
  const cleanup = namespaceDown(target);
  return [
    ['Unit', [['Description', `network namespace of repository ${target.name}`]]],
    [
      'Service',
      [
        // What a crash left would make the first line fail.
        ...cleanup.map((line) => ['ExecStartPre', execLine(line, true)] as const),
        ['ExecStart', ''] as const,
        ...namespaceUp(target).map((line) => ['ExecStart', execLine(line)] as const),
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
