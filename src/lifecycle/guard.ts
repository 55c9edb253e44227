// The guard: the nft table `inet rediacc`, which stands between the namespaces, the host and the network (SPEC section
// 5). Rules: it is loaded as one transaction that replaces the whole table; what it does not know it drops; an accept
// here cannot undo another table's drop, so what may pass is marked and other firewalls get one rule for the mark.
// The chains see every packet of the host: anything that has nothing to do with `rdh*` leaves them at the first rules.

import { LINK_NETWORK6 } from '../network/address.ts';

/** Interfaces of the namespaces on the host, as a pattern of nft. */
const LINKS = '"rdh*"';
/** Every link address of network/address.ts. */
const LINK_NETWORK = '169.254.192.0/18';
/** Where clouds hand out the machine's credentials over IPv6: Amazon's, Google's, Oracle's address. */
const METADATA6 = '{ fd00:ec2::254, fd20:ce::254, fd00:c1::a9fe:a9fe }';
/**
 * No way out of the machine: loopback and IPv4 in IPv6, the loopback and link addresses of IPv4 behind a translator (RFC 6052), the links of
 * repositories, link-local, site-local, all groups. Router and neighbour discovery and DHCPv6 have such destinations too.
 */
const NEVER6 = `{ ::/96, ::ffff:0:0/96, 64:ff9b::7f00:0/104, 64:ff9b::a9fe:0/112, ${LINK_NETWORK6}, fe80::/10, fec0::/10, ff00::/8 }`;
/** "rdac": set on packets that the guard lets through, for the one rule that another firewall needs. */
export const GUARD_MARK = 0x72646163;
/** Written at start where forwarding was off, so that stopping the guard restores it (systemd/rediacc-guard.service). */
export const FORWARDING_FLAG = '/run/rediacc/forwarding-was-off';
/**
 * Bridges that container and VM tools make for themselves, and for which they switch forwarding on themselves. A
 * repository does not reach what is behind them; where forwarding was off they go on working.
 */
export const HOST_BRIDGES = ['docker*', 'br-*', 'podman*', 'cni*', 'virbr*', 'lxcbr*', 'lxdbr*', 'incusbr*'] as const;

/** An IPv4 address and TCP port of a registry mirror. */
export interface Endpoint {
  address: string;
  port: number;
}

export interface GuardSettings {
  /** They may be on the host itself; for mirrors elsewhere the exceptions never match. */
  mirrors: readonly Endpoint[];
  /** The host did not forward before we came: forwards that are not ours stay dropped. */
  forwardingWasOff: boolean;
  /** The same of IPv6. */
  forwarding6WasOff: boolean;
  /** Lets repositories reach 169.254.169.254, where clouds hand out the machine's credentials. */
  metadataAllowed: boolean;
}

/** The text of /etc/rediacc/guard.nft: nft(8) syntax as of 1.0.6 (Debian 12) and later. */
export function guardText(settings: GuardSettings): string {
  return `${[
    '# Written by renet when the machine is set up. Loading it replaces the table as a whole.',
    'add table inet rediacc',
    'delete table inet rediacc',
    'table inet rediacc {',
    ...sets(),
    ...chain('prerouting', 'filter', 'prerouting', 'raw', [`iifname ${LINKS} jump arriving`]),
    ...chain('input', 'filter', 'input', 'filter - 10', [`iifname ${LINKS} jump to_host`]),
    ...chain('output', 'filter', 'output', 'filter - 10', [
      // Nothing of the host's goes into a namespace over IPv6 but what belongs to an answer, as "too big" does.
      `oifname ${LINKS} meta nfproto ipv6 ct state != { established, related } drop`,
    ]),
    ...chain('forward', 'filter', 'forward', 'filter - 10', [
      `iifname ${LINKS} jump leaving`,
      `oifname ${LINKS} jump entering`,
      ...(settings.forwardingWasOff ? ['meta nfproto ipv4 iifname != @bridges oifname != @bridges drop'] : []),
      ...(settings.forwarding6WasOff ? ['meta nfproto ipv6 iifname != @bridges oifname != @bridges drop'] : []),
    ]),
    ...chain('postrouting', 'nat', 'postrouting', 'srcnat', [
      `ip saddr ${LINK_NETWORK} oifname != ${LINKS} oifname != "lo" masquerade`,
      `ip6 saddr ${LINK_NETWORK6} oifname != ${LINKS} oifname != "lo" masquerade`,
    ]),
    ...branch('arriving', arriving()),
    ...branch('to_host', toHost(settings)),
    ...branch('leaving', leaving(settings)),
    ...branch('entering', [`ct state established,related meta mark set ${markText()} accept`, 'drop']),
    '}',
  ].join('\n')}\n`;
}

/** Where the packets of a namespace come in: only its own link addresses and its own /26 are sources (filled by rediacc-net@). */
function arriving(): string[] {
  return [
    'ip daddr 127.0.0.0/8 drop',
    'iifname . ip saddr != @sources drop',
    `ip6 daddr ${NEVER6} drop`,
    'iifname . ip6 saddr != @sources6 drop',
  ];
}

/** To the host itself: answers, and the registry mirrors that live there. */
function toHost({ mirrors }: GuardSettings): string[] {
  return [
    'ct state established,related accept',
    ...mirrors.map(({ address, port }) => `ip daddr ${address} tcp dport ${port} accept`),
    'drop',
  ];
}

/** Through the host to the outside. */
function leaving({ mirrors, metadataAllowed }: GuardSettings): string[] {
  return [
    `oifname ${LINKS} drop`,
    // A mirror that runs as a container of the host is reached by the host's own port forwarding.
    ...mirrors.map(
      ({ address, port }) =>
        `ct original ip daddr ${address} meta l4proto tcp ct original proto-dst ${port} meta mark set ${markText()} accept`,
    ),
    // Whatever else the host forwards on its own address is a service of the host.
    'ct status dnat drop',
    'oifname @bridges drop',
    // Name service stays: on some clouds this address is the only resolver, and it answers names alone there.
    ...(metadataAllowed ? [] : ['ip daddr 169.254.169.254 meta l4proto { tcp, udp } th dport != 53 drop']),
    ...(metadataAllowed ? [] : ['ip daddr 169.254.169.254 meta l4proto != { tcp, udp } drop']),
    ...(metadataAllowed ? [] : [`ip6 daddr ${METADATA6} meta l4proto { tcp, udp } th dport != 53 drop`]),
    ...(metadataAllowed ? [] : [`ip6 daddr ${METADATA6} meta l4proto != { tcp, udp } drop`]),
    `meta mark set ${markText()} accept`,
  ];
}

function sets(): string[] {
  return [
    '\tset sources {',
    '\t\ttype ifname . ipv4_addr',
    '\t\tflags interval',
    '\t}',
    '\tset sources6 {',
    '\t\ttype ifname . ipv6_addr',
    '\t}',
    '\tset bridges {',
    '\t\ttype ifname',
    '\t\tflags interval',
    `\t\telements = { ${HOST_BRIDGES.map((name) => `"${name}"`).join(', ')} }`,
    '\t}',
  ];
}

function chain(name: string, type: string, hook: string, priority: string, rules: readonly string[]): string[] {
  return branch(name, [`type ${type} hook ${hook} priority ${priority}; policy accept;`, ...rules]);
}

function branch(name: string, rules: readonly string[]): string[] {
  return [`\tchain ${name} {`, ...rules.map((rule) => `\t\t${rule}`), '\t}'];
}

function markText(): string {
  return `0x${GUARD_MARK.toString(16)}`;
}
