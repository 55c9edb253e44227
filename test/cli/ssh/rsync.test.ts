// The words we give to rsync, and its output as rsync 3.2.7 printed it.
import { describe, expect, test } from 'vitest';
import { rsyncArguments } from '../../../src/cli/ssh/rsync-arguments.ts';
import { parseChange, parseProgress, parseStats } from '../../../src/cli/ssh/rsync-output.ts';

describe('arguments', () => {
  const upload = { direction: 'upload', local: '/home/anna/my app/', remote: '' } as const;

  test('an upload', () => {
    expect(rsyncArguments(upload, ['/usr/bin/node', "/it's/main.js", '__rsh', '/tmp/ref'])).toEqual([
      '-rlptH',
      '--no-owner',
      '--no-group',
      '--modify-window=-1',
      '--partial-dir=.rsync-partial',
      '--exclude=/.rediacc',
      '--exclude=/.rediacc.json',
      '--exclude=/lost+found',
      '--exclude=.rsync-partial',
      '--no-inc-recursive',
      '--8-bit-output',
      '--outbuf=L',
      '--no-human-readable',
      '--info=progress2,stats2',
      '-e',
      "'/usr/bin/node' '/it''s/main.js' '__rsh' '/tmp/ref'",
      '/home/anna/my app/',
      'rediacc:./',
    ]);
  });

  test('a download turns it round', () => {
    expect(rsyncArguments({ ...upload, direction: 'download' }, []).slice(-2)).toEqual([
      'rediacc:./',
      '/home/anna/my app/',
    ]);
  });

  test('deletion only when asked for, and after the transfer', () => {
    expect(rsyncArguments(upload, [])).not.toContain('--delete-delay');
    expect(rsyncArguments({ ...upload, mirror: true }, [])).toContain('--delete-delay');
  });

  test('in a directory of the repository our own names are free', () => {
    const words = rsyncArguments({ ...upload, remote: 'data/x' }, []);
    expect(words.filter((word) => word.startsWith('--exclude'))).toEqual(['--exclude=.rsync-partial']);
    expect(rsyncArguments({ ...upload, remote: './' }, [])).toContain('--exclude=/.rediacc');
  });

  test('a path that looks like an option or a host is made absolute', () => {
    expect(rsyncArguments({ ...upload, local: '-e sh:x' }, []).at(-2)).toMatch(/^\/.*\/-e sh:x\/$/);
    expect(rsyncArguments({ ...upload, local: '/' }, []).at(-2)).toBe('/');
  });
});

describe('output', () => {
  test.each([
    ['      1,238,099  52%  146.38kB/s    0:00:08  (xfr#5, to-chk=169/396)', 1_238_099, 52, 149_893, 8],
    ['       31457280 100%  181.87MB/s    0:00:08 (xfr#1, to-chk=0/2)', 31_457_280, 100, 190_704_517, 0],
    ['              0   0%    0.00kB/s    1:02:03  ', 0, 0, 0, 3723],
  ])('progress %j', (line, bytes, percent, bytesPerSecond, secondsLeft) => {
    expect(parseProgress(line)).toEqual({ bytes, percent, bytesPerSecond, secondsLeft });
  });

  test.each([
    ['<f+++++++++ new.txt', { kind: 'file', isNew: true, path: 'new.txt' }],
    ['>f.st...... a b', { kind: 'file', isNew: false, path: 'a b' }],
    ['cd+++++++++ dir/', { kind: 'directory', isNew: true, path: 'dir/' }],
    ['cL+++++++++ link -> run.sh', { kind: 'symlink', isNew: true, path: 'link' }],
    ['.d..t...... ./', { kind: 'attributes', isNew: false, path: './' }],
    ['*deleting   old\\#012name', { kind: 'delete', isNew: false, path: 'old\nname' }],
  ])('change %j', (line, change) => {
    expect(parseChange(line)).toEqual(change);
  });

  test.each(['', 'sending incremental file list', 'Number of files: 3', 'a name'])('%j is neither', (line) => {
    expect(parseChange(line)).toBeUndefined();
    expect(parseProgress(line)).toBeUndefined();
  });

  test('statistics', () => {
    const text = [
      'Number of files: 3 (reg: 2, dir: 1)',
      'Number of created files: 2 (reg: 2)',
      'Number of deleted files: 4 (reg: 3, dir: 1)',
      'Number of regular files transferred: 2',
      'Total file size: 1,048,581 bytes',
      'Total transferred file size: 1,048,576 bytes',
      'Total bytes sent: 1,049,000',
      'Total bytes received: 38',
    ].join('\n');
    expect(parseStats(text)).toEqual({
      filesTransferred: 2,
      filesDeleted: 4,
      bytesTransferred: 1_048_576,
      bytesTotal: 1_048_581,
      bytesOnWire: 1_049_038,
    });
  });
});
