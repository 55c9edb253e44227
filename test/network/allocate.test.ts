import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocateLinkIndex, allocateNetworkId } from '../../src/network/allocate.ts';

describe('network ids', () => {
  it('start at 2816 and step by 64 without a gap', () => {
    const taken = new Set<number>();
    for (const expected of [2816, 2880, 2944]) {
      const id = allocateNetworkId({ taken, retired: [] });
      expect(id).toBe(expected);
      taken.add(id);
    }
  });

  it('never hand out one that is taken, and one of a deleted repository only when nothing else is free', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 0, max: 40 }).map((index) => 2816 + index * 64));
    fc.assert(
      fc.property(ids, ids, (used, retired) => {
        const id = allocateNetworkId({ taken: new Set(used), retired });
        expect(used).not.toContain(id);
        expect(retired).not.toContain(id);
      }),
    );
  });

  it('reuse the oldest deletion when all others are taken', () => {
    const taken = new Set<number>();
    for (let id = 2816; id <= 0xffffff; id += 64) taken.add(id);
    taken.delete(2880);
    taken.delete(2944);
    expect(allocateNetworkId({ taken, retired: [2944, 2880] })).toBe(2944);
  });
});

it('link indexes are the lowest free ones', () => {
  expect(allocateLinkIndex(new Set())).toBe(0);
  expect(allocateLinkIndex(new Set([0, 1, 3]))).toBe(2);
});
