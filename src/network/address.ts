// From numbers to addresses: network id -> /26 in 127.0.0.0/8, slot -> service address. Pure.
import { RdcError } from '../protocol/errors.ts';
import type { NetworkId } from '../protocol/ids.ts';

const LOOPBACK_BASE = 127 * 2 ** 24;
/** .0 is the network itself and .1 is kept free, so that slot 0 is .2 (SPEC section 5). */
const SLOT_OFFSET = 2;
/** 64 addresses less the two below slot 0 and the last one of the block. */
export const LAST_SLOT = 60;

/** 169.254.192.0/18 (RFC 3927, never routed; the metadata address 169.254.169.254 lies outside) in pairs of two. */
const LINK_BASE = 169 * 2 ** 24 + 254 * 2 ** 16 + 192 * 2 ** 8;
export const LINK_COUNT = 8192;

/** A global ID drawn at random (RFC 4193, section 3.2.2). Nobody outside the machine ever sees it. */
const ULA_PREFIX = 'fdb4:3dec:c6e:';
/** All addresses of links. */
export const LINK_NETWORK6 = `${ULA_PREFIX}:/64`;
/**
 * 256 networks of containers, in each namespace the same ones. Before docker 27 one of 64 bits would be given once only (its shift overflows),
 * and 48 bits are those that it fills with the hardware address.
 */
export const CONTAINER_NETWORKS6 = { base: `${ULA_PREFIX}d00::/72`, size: 80 } as const;

/** 2816 -> "127.0.11.0". */
export function baseAddress(id: NetworkId): string {
  return dotted(LOOPBACK_BASE + id);
}

/** 2816 -> "127.0.11.0/26". */
export function subnet(id: NetworkId): string {
  return `${baseAddress(id)}/26`;
}

/** Address of a service: base + slot + 2. Throws INVALID_INPUT for a slot outside 0..60. */
export function serviceAddress(id: NetworkId, slot: number): string {
  if (!Number.isInteger(slot) || slot < 0 || slot > LAST_SLOT) {
    throw new RdcError('INVALID_INPUT', `slot ${slot} is outside 0..${LAST_SLOT}`);
  }
  return dotted(LOOPBACK_BASE + id + slot + SLOT_OFFSET);
}

/** The two ends of the veth pair of a namespace, RFC 3021 point-to-point /31. */
export function linkAddresses(index: number): { host: string; namespace: string } {
  if (!Number.isInteger(index) || index < 0 || index >= LINK_COUNT) {
    throw new RdcError('INTERNAL', `link index ${index} is outside 0..${LINK_COUNT - 1}`);
  }
  return { host: dotted(LINK_BASE + 2 * index), namespace: dotted(LINK_BASE + 2 * index + 1) };
}

/**
 * What a link has for IPv6 (docs/decisions/0006-ipv6.md): one unique local address (RFC 4193), on the namespace's end only, and the hardware
 * addresses of both ends, which each is told of the other: neither asks, so neither believes an answer.
 */
export function linkAddresses6(index: number): { namespace: string; hostMac: string; namespaceMac: string } {
  linkAddresses(index);
  const mac = (number: number) =>
    // Locally administered (IEEE 802, second bit of the first octet).
    [0x02, 0x72, 0x64, 0, Math.floor(number / 256), number % 256]
      .map((octet) => octet.toString(16).padStart(2, '0'))
      .join(':');
  return {
    namespace: `${ULA_PREFIX}:${(index + 1).toString(16)}`,
    hostMac: mac(2 * index),
    namespaceMac: mac(2 * index + 1),
  };
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
