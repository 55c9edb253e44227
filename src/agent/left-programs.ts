// Programs that a daemon which was killed has started and that still run: systemd leaves them alone (KillMode=process), for a
// cryptsetup that is ended half way is worse than one that ends by itself. The next daemon begins nothing before they are gone,
// since they work on the images that it is about to look at.
import { setTimeout as sleep } from 'node:timers/promises';
import { command } from '../lifecycle/command.ts';
import { parseStat } from '../lifecycle/process-stat.ts';
import type { System } from '../lifecycle/system.ts';
import { codeOf, readText } from './linux-files.ts';

/** The agent's own unit; nothing else is ever in its cgroup. */
const OWN_UNIT = '/rediacc-agent.service';
const CGROUPS = '/sys/fs/cgroup';
const LOOK_MS = 20;

export interface Patience {
  /** Milliseconds for those that are let come to their end. Together with `endMs`, twice, less than rdc waits for an answer. */
  waitMs: number;
  /** Milliseconds after SIGTERM, and again after SIGKILL. */
  endMs: number;
}

const PATIENCE: Patience = { waitMs: 25_000, endMs: 8_000 };

/**
 * What changes an image, a mapping or a mount and is short: let come to its end. Everything else loses nothing when it is ended:
 * what it makes is made anew (mkfs, cp, dd), or it only waits for a unit or a lock (systemctl, systemd-run, flock).
 */
const LET_END = [
  ...['cryptsetup', 'dmsetup', 'losetup', 'mount', 'umount', 'tune2fs', 'e2fsck', 'resize2fs'],
  ...['mv', 'rm', 'install', 'truncate'],
];

/**
 * Left alone with all that they have started: half an installation is a package database that a person has to repair, and no
 * image is touched by one. Whoever comes next waits for its lock.
 */
const PACKAGE_MANAGERS = ['apt-get', 'dpkg', 'dnf', 'rpm', 'zypper'];

/** The daemon's cgroup as a directory; undefined where it was not started as the unit. Source: cgroups(7), /proc/[pid]/cgroup. */
export async function ownCgroup(): Promise<string | undefined> {
  const path = /^0::(.+)$/m.exec((await readText('/proc/self/cgroup')) ?? '')?.[1];
  return path?.endsWith(OWN_UNIT) ? `${CGROUPS}${path}` : undefined;
}

/** Before this daemon starts anything. Resolves when no other process is in the cgroup, or what is left cannot be ended; tells in words what it met. */
export async function endLeftPrograms(cgroup: string, patience: Patience = PATIENCE): Promise<string[]> {
  const met = new Map<number, string>();
  const started = performance.now();
  const told = new Map<number, NodeJS.Signals>();
  for (;;) {
    const left = await programsIn(cgroup);
    if (left.length === 0) return [...met.values()];
    const waited = performance.now() - started;
    for (const { pid, words } of left) {
      met.set(pid, words.join(' ').slice(0, 120));
      const signal = dueSignal(words, waited, patience);
      if (signal === undefined || told.get(pid) === signal) continue;
      told.set(pid, signal);
      end(pid, signal);
    }
    if (waited > patience.waitMs + 2 * patience.endMs)
      return [...met.values(), `${left.length} of them cannot be ended`];
    await sleep(LOOK_MS);
  }
}

function dueSignal(
  words: readonly string[],
  waitedMs: number,
  { waitMs, endMs }: Patience,
): NodeJS.Signals | undefined {
  const endAfter = isLetEnd(words) ? waitMs : 0;
  if (waitedMs >= endAfter + endMs) return 'SIGKILL';
  return waitedMs >= endAfter ? 'SIGTERM' : undefined;
}

/**
 * What a daemon that is dead has carried for a person, compose-unit.ts and rsync-sandbox.ts: nobody reads its output any more, and
 * one that says nothing would never notice. It is not waited for.
 */
export async function endLeftStreams(system: System): Promise<void> {
  const units = ['rediacc-compose-*', 'rediacc-transfer-*'];
  await system.run(command('systemctl', 'stop', '--no-block', ...units));
}

/** A reencryption takes hours, ends cleanly when it is asked to, and is gone on with (cryptsetup-reencrypt(8)). */
function isLetEnd([file = '', ...args]: readonly string[]): boolean {
  return LET_END.includes(file.slice(file.lastIndexOf('/') + 1)) && !args.includes('reencrypt');
}

interface Program {
  pid: number;
  parent: number;
  /** Its command line; of one that is just ending, nothing. */
  words: string[];
}

async function programsIn(cgroup: string): Promise<Program[]> {
  const pids = ((await readText(`${cgroup}/cgroup.procs`)) ?? '').split('\n').filter((line) => line !== '');
  const others = pids.map(Number).filter((pid) => pid !== process.pid);
  const found = await Promise.all(
    others.map(async (pid) => {
      const [line, stat] = await Promise.all([readText(`/proc/${pid}/cmdline`), readText(`/proc/${pid}/stat`)]);
      // A zombie has no command line; whoever is its parent now waits for it.
      if (!line || stat === undefined) return [];
      return [{ pid, parent: parseStat(stat).parent, words: line.split('\0').slice(0, -1) }];
    }),
  );
  const programs = found.flat();
  const installing = new Set<number>();
  for (let before = -1; installing.size > before; ) {
    before = installing.size;
    for (const { pid, parent, words } of programs) {
      if (installs(words) || installing.has(parent)) installing.add(pid);
    }
  }
  return programs.filter(({ pid }) => !installing.has(pid));
}

/** dnf is a script: its second word is its name. */
function installs(words: readonly string[]): boolean {
  return words.slice(0, 2).some((word) => PACKAGE_MANAGERS.includes(word.slice(word.lastIndexOf('/') + 1)));
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended in the meantime.
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}
