// Below which numbers a repository is not started, and what is said then.
import { describe, expect, test } from 'vitest';
import type { Space } from '../../src/lifecycle/space.ts';
import { isBelowFloor, mayLackReplayRoom, refuseFullVolume, volumeFloor } from '../../src/lifecycle/space-floors.ts';
import { AMPLE } from '../helpers/space.ts';
import { shopTarget } from '../helpers/target.ts';

const MIB = 1024 ** 2;
const small: Space = { ...AMPLE, totalBytes: 100 * MIB, totalInodes: 1000, freeInodes: 500, rootBytes: 50 * MIB };

describe('the floor inside a volume', () => {
  test.each<[string, Space, number, number]>([
    ['a large one', AMPLE, 16 * MIB, 256],
    ['a small one', small, 2 * MIB, 20],
    ['one that makes inodes as it needs them', { ...AMPLE, totalInodes: 0, freeInodes: 0 }, 16 * MIB, 0],
  ])('of %s', (_, space, bytes, inodes) => {
    expect(volumeFloor(space)).toEqual({ bytes, inodes });
    expect(isBelowFloor(space)).toBe(false);
    expect(() => refuseFullVolume(shopTarget(), space)).not.toThrow();
  });

  test.each<[Partial<Space>, string]>([
    [
      { rootBytes: 2 * MIB - 1 },
      'is full: 2.0M of 100M are free to root inside, 2M are needed for its docker daemon to start',
    ],
    [{ freeInodes: 19 }, 'has too many files: 19 of 1000 inodes are free inside, 20 are needed'],
  ])('%j', (change, words) => {
    const space = { ...small, ...change };
    expect(isBelowFloor(space)).toBe(true);
    const refusal = { code: 'NO_SPACE', exitCode: 13, hint: 'rdc repo rescue shop' };
    expect(() => refuseFullVolume(shopTarget(), space)).toThrow(expect.objectContaining(refusal));
    expect(() => refuseFullVolume(shopTarget(), space)).toThrow(words);
  });
});

test('a look at the journal is worth it only where the largest might not fit', () => {
  expect(mayLackReplayRoom({ rootBytes: 1088 * MIB })).toBe(false);
  expect(mayLackReplayRoom({ rootBytes: 1088 * MIB - 1 })).toBe(true);
});
