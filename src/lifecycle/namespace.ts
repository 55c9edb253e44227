// The network namespace of a repository: a veth pair, its /26 routed into it, sources declared to the guard.
// Its scripts become the Exec lines of rediacc-net@, so that neither boot nor shutdown needs a program of ours.
import { linkAddresses, linkAddresses6, subnet } from '../network/address.ts';
import { command } from './command.ts';
import type { RepoTarget } from './target.ts';
import type { UnitSections } from './unit-text.ts';
import { execLine } from './unit-text.ts';

/** Name of the link's end inside the namespace. */
const INNER_LINK = 'rd0';
/** Set of (interface, source address) pairs that the guard lets pass; see guard.ts. */
const SOURCES = 'inet rediacc sources';
const SOURCES6 = 'inet rediacc sources6';
/** The way out over IPv6. No interface of the host has this address: it only stands for the host's end of the link. */
const GATEWAY6 = 'fe80::1';

/** IPv6 of the host: the kernel has none, there is no way out over it, there is one. Decides what a namespace gets. */
export type HostIpv6 = 'absent' | 'inside' | 'outbound';

/**
 * A script for `sh -e`: one process of systemd's and few of ip's, where a line for each change took most of the time of a start.
 * See ip(8), -batch.
 */
export function namespaceUp(target: RepoTarget, ipv6: HostIpv6): string {
  const { namespace, hostLink } = target.net;
  const link = linkAddresses(target.linkIndex);
  const block = subnet(target.networkId);
  const settings = (dev: string) =>
    [`net.ipv4.conf.${dev}.route_localnet=1`, ...(ipv6 === 'absent' ? [] : settings6(dev, ipv6))].join(' ');
  const outbound = ipv6 === 'outbound' ? routed6(target) : undefined;
  return [
    `ip netns add ${namespace}`,
    `ip link add ${hostLink} type veth peer name ${INNER_LINK} netns ${namespace}`,
    `sysctl -q -w ${settings(hostLink)}`,
    `ip netns exec ${namespace} sysctl -q -w ${settings(INNER_LINK)}`,
    `nft 'add element ${SOURCES} ${sourceElements(target)}${outbound ? `; add element ${SOURCES6} ${sourceElement6(target)}` : ''}'`,
    'ip -batch - <<end',
    `addr add ${link.host}/31 dev ${hostLink}`,
    `link set ${hostLink} up`,
    // More specific than the host's own local 127.0.0.0/8.
    `route add ${block} via ${link.namespace} dev ${hostLink} src ${link.host} table local`,
    ...(outbound?.host ?? []),
    'end',
    `ip -n ${namespace} -batch - <<end`,
    `addr add ${link.namespace}/31 dev ${INNER_LINK}`,
    `link set ${INNER_LINK} up`,
    'link set lo up',
    // In the namespace only 127.0.0.1 and the own /26 are local.
    'route del local 127.0.0.0/8 dev lo table local',
    `route add local ${block} dev lo table local src 127.0.0.1`,
    `route add default via ${link.host}`,
    ...(outbound?.inside ?? []),
    'end',
  ].join('\n');
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
function routed6({ linkIndex, net: { hostLink } }: RepoTarget): { host: string[]; inside: string[] } {
  const link = linkAddresses6(linkIndex);
  return {
    host: [
      `link set ${hostLink} address ${link.hostMac}`,
      `neigh add ${link.namespace} lladdr ${link.namespaceMac} dev ${hostLink} nud permanent`,
      `route add ${link.namespace} dev ${hostLink}`,
    ],
    inside: [
      `link set ${INNER_LINK} address ${link.namespaceMac}`,
      `addr add ${link.namespace}/128 dev ${INNER_LINK} nodad`,
      `neigh add ${GATEWAY6} lladdr ${link.hostMac} dev ${INNER_LINK} nud permanent`,
      `route add default via ${GATEWAY6} dev ${INNER_LINK}`,
    ],
  };
}

/** A script: removes what namespaceUp made, whatever part of it exists. Deleting the link takes its routes and addresses along. */
export function namespaceDown(target: RepoTarget): string {
  const { namespace, hostLink } = target.net;
  return [
    `ip link del ${hostLink}`,
    `ip netns del ${namespace}`,
    `nft 'delete element ${SOURCES} ${sourceElements(target)}'`,
    `nft 'delete element ${SOURCES6} ${sourceElement6(target)}'`,
  ].join('\n');
}

/** Drop-in of rediacc-net@{guid}. */
export function namespaceDropIn(target: RepoTarget, ipv6: HostIpv6): UnitSections {
  const cleanup = execLine(command('/bin/sh', '-c', namespaceDown(target)), true);
  return [
    ['Unit', [['Description', `network namespace of repository ${target.name}`]]],
    [
      'Service',
      [
        // What a crash left would make the first line fail.
        ['ExecStartPre', cleanup],
        ['ExecStart', ''],
        ['ExecStart', execLine(command('/bin/sh', '-ec', namespaceUp(target, ipv6)))],
        // ExecStopPost also runs after a start that failed half way, which ExecStop does not.
        ['ExecStopPost', cleanup],
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
