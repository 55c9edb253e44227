// What is told of a full filesystem is what root meets: a real ext4, filled by root until it is refused. Needs root.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { spaceAt } from '../../src/agent/linux-files.ts';
import { reportSpace, type Space } from '../../src/lifecycle/space.ts';
import { AMPLE } from '../helpers/space.ts';

const MIB = 1024 ** 2;
const sh = (file: string, ...args: string[]) => execFileSync(file, args, { stdio: 'pipe' }).toString().trim();

/** 134 MiB have blocks of 1 KiB; 600 MiB have blocks of 4 KiB, and more that ext4 keeps. */
describe.each([134, 600])('ext4 of %i MiB', (size) => {
  let directory: string;
  let at: string;
  const space = async () => (await spaceAt(at)) as Space;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'rdc-space-'));
    at = join(directory, 'at');
    const image = join(directory, 'image');
    sh('truncate', `--size=${size * MIB}`, image);
    sh('mkfs.ext4', '-q', '-F', '-m', '1', image);
    mkdirSync(at);
    sh('mount', '-o', 'loop', image, at);
  });
  afterAll(() => {
    sh('umount', at);
    rmSync(directory, { recursive: true });
  });

  test('full by bytes: nothing is left for root, whatever statfs calls free', async () => {
    const before = await space();
    expect(before.rootBytes).toBeGreaterThan(0.8 * size * MIB);
    expect(before.rootBytes).toBeGreaterThan(before.freeBytes);
    expect(reportSpace(before)).toMatchObject({ level: 'ok', totalInodes: before.totalInodes });

    // Large pieces first, so that it takes a moment only; what is refused is refused with blocks free for nobody.
    for (const bytes of [MIB, 64 * 1024, 1024]) {
      while (spawnSync('fallocate', ['-l', String(size * MIB), join(at, `all-${bytes}`)]).status === 0);
      spawnSync('dd', ['if=/dev/zero', `of=${join(at, `rest-${bytes}`)}`, `bs=${bytes}`]);
    }
    expect(() => writeFileSync(join(at, 'one-more'), Buffer.alloc(64 * 1024))).toThrow('ENOSPC');
    const full = await space();
    expect(full.rootBytes).toBeLessThan(0.005 * size * MIB);
    expect(full.freeBytes).toBe(0);
    expect(full.totalBytes - full.usedBytes).toBeGreaterThan(0.01 * size * MIB);
    expect(reportSpace(full)).toMatchObject({ usedPercent: 100, level: 'critical' });
  });
});

test('absent: nothing is told', async () => {
  expect(await spaceAt('/nonexistent/place')).toBeUndefined();
});

test.each<[Partial<Space>, number, string]>([
  [{ usedBytes: 89, freeBytes: 11 }, 89, 'ok'],
  [{ usedBytes: 89, freeBytes: 10 }, 90, 'warning'],
  [{ usedBytes: 94, freeBytes: 6 }, 94, 'warning'],
  [{ usedBytes: 95, freeBytes: 5 }, 95, 'critical'],
  // Few files' worth of bytes, and no inode left.
  [{ totalInodes: 1000, freeInodes: 20 }, 98, 'critical'],
  // Inodes are made as they are needed.
  [{ totalInodes: 0, freeInodes: 0 }, 50, 'ok'],
])('%j: %i percent, %s', (change, usedPercent, level) => {
  expect(reportSpace({ ...AMPLE, ...change })).toMatchObject({ usedPercent, level });
});
