// Parses /proc/PID/mountinfo (proc_pid_mountinfo(5)). Pure.

export interface Mount {
  /** major:minor of the filesystem, e.g. "253:0". */
  device: string;
  root: string;
  mountPoint: string;
  filesystem: string;
  source: string;
  readOnly: boolean;
  /** Peer group whose mounts and unmounts it shares (shared:N). */
  peerGroup?: number;
  /** Peer group whose mounts and unmounts it receives (master:N). */
  master?: number;
}

export function parseMountinfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine);
}

function parseLine(line: string): Mount {
  const [left = '', right = ''] = line.split(' - ');
  const [, , device = '', root = '', mountPoint = '', options = '', ...tags] = left.split(' ');
  const [filesystem = '', source = ''] = right.split(' ');
  return {
    device,
    root: unescapeOctal(root),
    mountPoint: unescapeOctal(mountPoint),
    filesystem,
    source: unescapeOctal(source),
    readOnly: options.split(',').includes('ro'),
    ...groupOf(tags, 'shared', 'peerGroup'),
    ...groupOf(tags, 'master', 'master'),
  };
}

function groupOf<Key extends string>(tags: readonly string[], tag: string, key: Key): Partial<Record<Key, number>> {
  const found = tags.find((text) => text.startsWith(`${tag}:`));
  return found === undefined ? {} : ({ [key]: Number(found.slice(tag.length + 1)) } as Record<Key, number>);
}

/** The kernel writes space, tab, newline and backslash as \040 \011 \012 \134. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
