import { expect, it } from 'vitest';
import { parseMountinfo } from '../../src/lifecycle/mountinfo.ts';

it('mountinfo lines with optional fields, none, and escaped blanks are read', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
    '40 35 253:0 / /mnt/rediacc/repos/a\\040b ro,relatime - ext4 /dev/mapper/rediacc-x rw',
    '',
  ].join('\n');
  expect(parseMountinfo(text)).toEqual([
    {
      device: '98:0',
      root: '/mnt1',
      mountPoint: '/mnt2',
      filesystem: 'ext3',
      source: '/dev/root',
      readOnly: false,
      master: 1,
    },
    {
      device: '253:0',
      root: '/',
      mountPoint: '/mnt/rediacc/repos/a b',
      filesystem: 'ext4',
      source: '/dev/mapper/rediacc-x',
      readOnly: true,
    },
  ]);
});
