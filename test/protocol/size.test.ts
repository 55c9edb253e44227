import { expect, it } from 'vitest';
import { formatSize, parseSize } from '../../src/protocol/size.ts';

it.each([
  ['10G', 10 * 1024 ** 3],
  ['512m', 512 * 1024 ** 2],
  ['1.5T', 1.5 * 1024 ** 4],
  ['10GiB', 10 * 1024 ** 3],
  ['10GB', 10_000_000_000],
])('%s is %i bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

it.each(['10Q', '10', '', '-1G', '1e3G', 'G', '10 G B', '99999999999T'])('%j is refused', (text) => {
  expect(() => parseSize(text)).toThrow(/size/);
});

it('sizes are shown in binary units', () => {
  expect([10 * 1024 ** 3, 1.5 * 1024 ** 3, 320 * 1024, 12].map(formatSize)).toEqual(['10G', '1.5G', '320K', '12B']);
});
