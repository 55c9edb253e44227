import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  baseAddress,
  LAST_SLOT,
  LINK_COUNT,
  linkAddresses,
  linkAddresses6,
  serviceAddress,
  subnet,
} from '../../src/network/address.ts';
import { FIRST_NETWORK_ID, LAST_NETWORK_ID, NETWORK_ID_STEP, type NetworkId } from '../../src/protocol/ids.ts';

const idArbitrary = fc
  .integer({ min: 0, max: (LAST_NETWORK_ID - FIRST_NETWORK_ID) / NETWORK_ID_STEP })
  .map((index) => (FIRST_NETWORK_ID + index * NETWORK_ID_STEP) as NetworkId);
const asNumber = (address: string) => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

describe('service addresses', () => {
  it.each([
    [2816, 0, '127.0.11.2'],
    [2816, 1, '127.0.11.3'],
    [2816, 2, '127.0.11.4'],
    [2944, 0, '127.0.11.130'],
    [6336, 1, '127.0.24.195'],
  ])('network id %i slot %i is %s', (id, slot, address) => {
    expect(serviceAddress(id as NetworkId, slot)).toBe(address);
  });

  it('stay inside their own /26, clear of its first two and its last address', () => {
    fc.assert(
      fc.property(idArbitrary, fc.integer({ min: 0, max: LAST_SLOT }), (id, slot) => {
        const offset = asNumber(serviceAddress(id, slot)) - asNumber(baseAddress(id));
        expect(offset).toBeGreaterThanOrEqual(2);
        expect(offset).toBeLessThan(63);
      }),
    );
  });

  it('refuses a slot outside 0..60', () => {
    for (const slot of [-1, 61, 1.5]) expect(() => serviceAddress(2816 as NetworkId, slot)).toThrow(/outside 0\.\.60/);
  });

  it('names the block', () => expect(subnet(2816 as NetworkId)).toBe('127.0.11.0/26'));
});

describe('link addresses', () => {
  it('are pairs inside 169.254.192.0/18, each used once', () => {
    expect(linkAddresses(0)).toEqual({ host: '169.254.192.0', namespace: '169.254.192.1' });
    expect(linkAddresses(LINK_COUNT - 1)).toEqual({ host: '169.254.255.254', namespace: '169.254.255.255' });
    expect(() => linkAddresses(LINK_COUNT)).toThrow(/outside/);
  });

  it('have one for IPv6 on the inner end, and hardware addresses of their own, each used once', () => {
    expect(linkAddresses6(0)).toEqual({
      namespace: 'fdb4:3dec:c6e::1',
      hostMac: '02:72:64:00:00:00',
      namespaceMac: '02:72:64:00:00:01',
    });
    expect(linkAddresses6(LINK_COUNT - 1)).toEqual({
      namespace: 'fdb4:3dec:c6e::2000',
      hostMac: '02:72:64:00:3f:fe',
      namespaceMac: '02:72:64:00:3f:ff',
    });
    expect(() => linkAddresses6(LINK_COUNT)).toThrow(/outside/);
  });
});
