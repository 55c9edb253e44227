// What takes the most in an open volume, in the words of its owner: files and directories of theirs, docker's volumes, images
// and logs. As much as du(1) counts in a while: a rescue must not take an hour.
import { command } from '../lifecycle/command.ts';
import { printable } from '../lifecycle/rediaccfile.ts';
import type { System } from '../lifecycle/system.ts';

/** Of bytes, or of inodes where these have run out. */
export interface Taker {
  what: string;
  /** Relative to the root of the repository. */
  path: string;
  amount: number;
}

export interface Takers {
  /** The largest first. */
  takers: Taker[];
  /** The time was enough to count all. */
  isWhole: boolean;
}

const SECONDS = 20;
/** coreutils' timeout: it was ended. */
const TIMED_OUT = 124;
const MOST = 8;
/** Deep enough for a single volume of docker. */
const DEPTH = 4;
/** A directory whose content lies in one of its entries nearly alone is told as that entry. */
const NEARLY_ALL = 0.8;

/** Smaller ones are not told of. */
const LEAST = { bytes: 1024 ** 2, inodes: 100 } as const;

export async function largestFiles(system: System, mountPoint: string, unit: 'bytes' | 'inodes'): Promise<Takers> {
  const counted = unit === 'bytes' ? ['--all', '--block-size=1'] : ['--inodes'];
  const limits = [`--max-depth=${DEPTH}`, `--threshold=${LEAST[unit]}`];
  const du = ['du', '--one-file-system', '--null', ...counted, ...limits, '--', mountPoint];
  // 1: something went away while it was counted.
  const counting = {
    ...command('timeout', String(SECONDS), ...du),
    allow: [1, TIMED_OUT],
    timeoutMs: 3 * SECONDS * 1000,
  };
  const { stdout, exitCode } = await system.run(counting);
  return { takers: takersOf(stdout, mountPoint), isWhole: exitCode !== TIMED_OUT };
}

/** `listing` is what `du --null` prints: amount, tab, path, NUL. */
export function takersOf(listing: string, mountPoint: string): Taker[] {
  const amounts = new Map<string, number>();
  for (const [, amount = '', path = ''] of listing.matchAll(/(\d+)\t([^\0]*)\0/g)) {
    if (path.startsWith(`${mountPoint}/`)) amounts.set(path.slice(mountPoint.length + 1), Number(amount));
  }
  const top = [...amounts.keys()].filter((path) => !path.includes('/') && path !== '.rediacc');
  const theirs = top.map((path) => narrowed(path, amounts)).map((path) => ({ what: printable(path), path }));
  return [...theirs, ...docker(amounts)]
    .map(({ what, path }) => ({ what, path: printable(path), amount: amounts.get(path) ?? 0 }))
    .sort((a, b) => b.amount - a.amount)
    .slice(0, MOST);
}

function narrowed(path: string, amounts: ReadonlyMap<string, number>): string {
  const enough = (amounts.get(path) ?? 0) * NEARLY_ALL;
  const inside = [...amounts.keys()].find(
    (one) =>
      one.startsWith(`${path}/`) && !one.slice(path.length + 1).includes('/') && (amounts.get(one) ?? 0) >= enough,
  );
  return inside === undefined ? path : narrowed(inside, amounts);
}

const DOCKER = '.rediacc/docker';
const KNOWN: Readonly<Record<string, string>> = {
  [`${DOCKER}/overlay2`]: 'docker images, and what containers have written',
  [`${DOCKER}/containerd`]: 'docker images, and what containers have written',
  [`${DOCKER}/containers`]: 'logs of containers',
  [`${DOCKER}/buildkit`]: "docker's build cache",
  '.rediacc/home': 'home directory of functions',
};

function docker(amounts: ReadonlyMap<string, number>): { what: string; path: string }[] {
  const known = Object.entries(KNOWN).map(([path, what]) => ({ what, path }));
  const volumes = [...amounts.keys()]
    .map((path) => ({ path, name: /^\.rediacc\/docker\/volumes\/([^/]+)$/.exec(path)?.[1] }))
    .flatMap(({ path, name }) => (name === undefined ? [] : [{ what: `docker volume ${printable(name)}`, path }]));
  return [...known, ...volumes].filter(({ path }) => amounts.has(path));
}
