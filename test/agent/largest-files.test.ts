// What takes the most, in words: from what du prints.
import { expect, test } from 'vitest';
import { takersOf } from '../../src/agent/largest-files.ts';

const AT = '/mnt/rediacc/repos/x';
const listing = (rows: [number, string][]) => rows.map(([amount, path]) => `${amount}\t${AT}${path}\0`).join('');

test('their directories, narrowed to what is in them nearly alone; docker in the words of docker', () => {
  const rows: [number, string][] = [
    [700, '/backend/uploads/2026/video.mkv'],
    [720, '/backend/uploads/2026'],
    [730, '/backend/uploads'],
    [900, '/backend'],
    [50, '/mixed/a'],
    [50, '/mixed/b'],
    [100, '/mixed'],
    [300, '/.rediacc/docker/volumes/shop_db'],
    [20, '/.rediacc/docker/volumes/shop_cache'],
    [400, '/.rediacc/docker/overlay2'],
    [200, '/.rediacc/docker/containers'],
    [64, '/.rediacc/reserve'],
    [2000, '/.rediacc'],
    [3000, ''],
  ];
  expect(takersOf(listing(rows), AT).map(({ what, amount }) => [what, amount])).toEqual([
    ['backend/uploads/2026/video.mkv', 700],
    ['docker images, and what containers have written', 400],
    ['docker volume shop_db', 300],
    ['logs of containers', 200],
    ['mixed', 100],
    ['docker volume shop_cache', 20],
  ]);
});

test('names are only shown; what was cut off in the middle does not count', () => {
  const text = `${listing([[9, '/a\n8\tb\u001b[2J']])}7\t${AT}/cut`;
  expect(takersOf(text, AT).map(({ what }) => what)).toEqual(['a\\n8\\u0009b\\u001b[2J']);
});
