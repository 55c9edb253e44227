// Filesystems of model machines.
import type { Space } from '../../src/lifecycle/space.ts';

const GIB = 1024 ** 3;
/** A filesystem of 100 GiB, half of it free. */
export const AMPLE: Space = {
  totalBytes: 100 * GIB,
  usedBytes: 50 * GIB,
  freeBytes: 50 * GIB,
  rootBytes: 50 * GIB,
  totalInodes: 6_000_000,
  freeInodes: 5_000_000,
};
/** The same with so much free, to everybody and to root. */
export function spaceWith(freeBytes: number): Space {
  return { ...AMPLE, usedBytes: AMPLE.totalBytes - freeBytes, freeBytes, rootBytes: freeBytes };
}
