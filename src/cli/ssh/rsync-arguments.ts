// The words given to rsync. It compares size and modification time to the nanosecond, so an edit within the same
// second that keeps the size is seen; `checksum` also finds one that kept both.
import { resolve } from 'node:path';

export interface SyncRequest {
  direction: 'upload' | 'download';
  /** Directory on the workstation. Its contents are what is copied. */
  local: string;
  /** Directory inside the repository, relative to its mount; "" is the mount itself. */
  remote: string;
  /** Delete at the destination what the source does not have. */
  mirror?: boolean;
  dryRun?: boolean;
  checksum?: boolean;
}

/** Kept beside a file while it is incomplete, so that a sync that broke off goes on where it was. */
const PARTIAL_DIRECTORY = '.rsync-partial';
/** At the root of a repository; neither copied nor deleted. */
const OWN_FILES = ['/.rediacc', '/.rediacc.json', '/lost+found'];

/** `shell` is the command that rsync runs in place of ssh: the words before the host name. */
export function rsyncArguments(request: SyncRequest, shell: readonly string[]): string[] {
  const { direction, local, remote, mirror, dryRun, checksum } = request;
  // Absolute, so that no colon or dash in it can be read as a host or an option.
  const here = `${resolve(local).replace(/\/+$/, '')}/`;
  // The agent starts the far side in the right directory already.
  const there = 'rediacc:./';
  return [
    // Owner and group stay those of the receiving side: users differ between machines.
    ...['-rlptH', '--no-owner', '--no-group'],
    '--modify-window=-1',
    ...(checksum === true ? ['--checksum'] : []),
    `--partial-dir=${PARTIAL_DIRECTORY}`,
    // After the transfer, so that one that breaks off has deleted nothing.
    ...(mirror === true ? ['--delete-delay'] : []),
    ...(isRoot(remote) ? OWN_FILES : []).map((path) => `--exclude=${path}`),
    `--exclude=${PARTIAL_DIRECTORY}`,
    // The whole list first: only then are the share done and the time left true.
    '--no-inc-recursive',
    ...['--8-bit-output', '--outbuf=L', '--no-human-readable'],
    ...(dryRun === true ? ['--dry-run', '--itemize-changes', '--info=stats2'] : ['--info=progress2,stats2']),
    ...['-e', shell.map(shellWord).join(' ')],
    ...(direction === 'upload' ? [here, there] : [there, here]),
  ];
}

function isRoot(remote: string): boolean {
  return remote.split('/').every((part) => part === '' || part === '.');
}

/** rsync splits the -e value itself: a quote inside quotes is doubled (rsync(1)). */
function shellWord(word: string): string {
  return `'${word.replaceAll("'", "''")}'`;
}
