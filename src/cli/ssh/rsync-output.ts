// What rsync prints, as data. Pinned by recorded output in test/cli/ssh/rsync-output.test.ts.

export interface SyncProgress {
  bytes: number;
  /** 0 to 100. */
  percent: number;
  bytesPerSecond: number;
  secondsLeft: number;
}

export interface SyncChange {
  kind: 'file' | 'directory' | 'symlink' | 'other' | 'attributes' | 'delete';
  /** Whether the destination has nothing of that name yet. */
  isNew: boolean;
  path: string;
}

export interface SyncStats {
  filesTransferred: number;
  filesDeleted: number;
  /** Sizes of the files that were copied. */
  bytesTransferred: number;
  /** Sizes of all files looked at. */
  bytesTotal: number;
  /** What really went over the wire, both ways. */
  bytesOnWire: number;
}

const RATES: Readonly<Record<string, number>> = { B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };

/** One line of --info=progress2: "     1,238,099  52%  146.38kB/s    0:00:08 (xfr#5, to-chk=169/396)". */
export function parseProgress(line: string): SyncProgress | undefined {
  const match = /^\s*([\d,.]+)\s+(\d+)%\s+([\d.]+)([kMGT]?B)\/s\s+(\d+):(\d\d):(\d\d)/.exec(line);
  if (match === null) return undefined;
  const [bytes, percent, rate, unit, hours, minutes, seconds] = match.slice(1) as [string, ...string[]];
  const time = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return {
    bytes: Number(bytes.replace(/[,.]/g, '')),
    percent: Number(percent),
    bytesPerSecond: Math.round(Number(rate) * (RATES[unit ?? 'B'] ?? 1)),
    // At the end rsync prints how long it took instead.
    secondsLeft: percent === '100' ? 0 : time,
  };
}

const KINDS: Readonly<Record<string, SyncChange['kind']>> = { f: 'file', d: 'directory', L: 'symlink' };

/** One line of --itemize-changes: ">f.st...... name", "*deleting   name", "cL+++++++++ name -> target". */
export function parseChange(line: string): SyncChange | undefined {
  const deleted = /^\*deleting\s+(.*)$/.exec(line)?.[1];
  if (deleted !== undefined) return { kind: 'delete', isNew: false, path: unescapeName(deleted) };
  const match = /^([<>ch.])([fdLDS])(\S{9,}) (.*)$/.exec(line);
  if (match === null) return undefined;
  const [update, type, flags, name] = match.slice(1) as [string, string, string, string];
  const path = unescapeName(type === 'L' ? name.replace(/ -> .*$/, '') : name);
  if (update === '.') return { kind: 'attributes', isNew: false, path };
  return { kind: KINDS[type] ?? 'other', isNew: flags.startsWith('+'), path };
}

/** rsync writes bytes it does not print as \#ooo, octal. */
function unescapeName(name: string): string {
  return name.replace(/\\#([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The block of --info=stats2. */
export function parseStats(text: string): SyncStats {
  const value = (label: string): number => {
    const found = new RegExp(`^${label}: ([\\d,.]+)`, 'm').exec(text)?.[1] ?? '0';
    return Number(found.replace(/[,.]/g, ''));
  };
  return {
    filesTransferred: value('Number of regular files transferred'),
    filesDeleted: value('Number of deleted files'),
    bytesTransferred: value('Total transferred file size'),
    bytesTotal: value('Total file size'),
    bytesOnWire: value('Total bytes sent') + value('Total bytes received'),
  };
}
