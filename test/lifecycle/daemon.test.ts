// What the configuration of a repository's dockerd says; how the daemon takes it is tried in test/machine.
import { describe, expect, it } from 'vitest';
import { daemonConfig } from '../../src/lifecycle/daemon.ts';
import type { HostIpv6 } from '../../src/lifecycle/namespace.ts';
import { shopTarget } from '../helpers/target.ts';

const configOn = (ipv6: HostIpv6) =>
  JSON.parse(
    daemonConfig(shopTarget(), {
      registryMirrors: [],
      host: { resolvConf: undefined, dockerData: undefined },
      ipv6,
      limits: {},
    }),
  ) as {
    ip6tables?: boolean;
    'default-address-pools': { base: string; size: number }[];
  };
const config = configOn('absent');

/** First and last address. */
function range(subnet: string): [number, number] {
  const [address = '', length] = subnet.split('/');
  const first = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return [first, first + 2 ** (32 - Number(length)) - 1];
}

describe('networks that docker makes by itself', () => {
  const pools = config['default-address-pools'].map(({ base, size }) => ({ range: range(base), size, base }));

  it('are 240 of 4094 addresses, where docker itself would have 31', () => {
    const counts = pools.map(({ base, size }) => 2 ** (size - Number(base.split('/')[1])));
    expect(counts.reduce((sum, count) => sum + count)).toBe(240);
    expect(new Set(pools.map(({ size }) => size))).toEqual(new Set([20]));
  });

  it('lie one behind the other in 172.17.0.0 to 172.31.255.255, and nowhere else', () => {
    const [[first]] = [range('172.17.0.0/16')];
    const [, last] = range('172.31.0.0/16');
    expect(pools.at(0)?.range[0]).toBe(first);
    expect(pools.at(-1)?.range[1]).toBe(last);
    for (const [index, { range: own }] of pools.entries()) {
      if (index > 0) expect(own[0]).toBe((pools[index - 1]?.range[1] ?? 0) + 1);
    }
  });
});

describe('networks with enable_ipv6', () => {
  it.each(['inside', 'outbound'] as const)('have a pool, and leave with the address of the namespace: %s', (ipv6) => {
    const { ip6tables, 'default-address-pools': pools } = configOn(ipv6);
    expect(pools.filter(({ base }) => base.includes(':'))).toEqual([{ base: 'fdb4:3dec:c6e:d00::/72', size: 80 }]);
    expect(ip6tables).toBe(true);
  });

  it('control: a kernel without IPv6 is not asked for any', () => {
    expect(JSON.stringify(config)).not.toMatch(/ip6tables|fdb4/);
  });
});
