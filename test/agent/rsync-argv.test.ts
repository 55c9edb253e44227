import { describe, expect, it } from 'vitest';
import { parseRsyncArgv } from '../../src/agent/rsync-argv.ts';

/** As rsync 3.2.7 sends it for our own upload. */
const UPLOAD = [
  ...['rsync', '--server', '-lHtpre.LsfxCIvu', '--delete-delay', '-@-1', '--partial-dir', '.rsync-partial'],
  ...['--info=STATS2', '.', './'],
];

describe('rsync on the server side', () => {
  it('is accepted as our own client sends it, without its paths', () => {
    expect(parseRsyncArgv(UPLOAD)).toEqual({ sender: false, dryRun: false, options: UPLOAD.slice(2, -2) });
    expect(parseRsyncArgv(['rsync', '--server', '--sender', '-lre.iLsfxCIvu', '.', '/x']).sender).toBe(true);
  });

  it.each([
    ['another program', ['sh', '-c', 'id', '.', '/']],
    ['a shell of its own', ['rsync', '--server', '--rsh=sh', '.', '/']],
    ['a partial directory elsewhere', ['rsync', '--server', '--partial-dir', '/etc', '.', '/']],
    ['arguments hidden in the stream', ['rsync', '--server', '-rse.iLsfxCIvu', '.', '/']],
    ['removal of what was read', ['rsync', '--server', '--sender', '--remove-source-files', '.', '/']],
    ['several paths', ['rsync', '--server', '-re.', '.', '/a', '/b']],
  ])('is refused with %s', (_, argv) => {
    expect(() => parseRsyncArgv(argv)).toThrow(/not accepted/);
  });
});
