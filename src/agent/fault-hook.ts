// A fault for tests of crash safety: the agent kills itself at a chosen change of a run. Of test builds only (scripts/build.mjs
// --faults): nothing of this is in a bundle that ships.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import type { Command } from '../lifecycle/command.ts';
import { describeCommand } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { codeOf } from './linux-files.ts';

/** In the runtime directory, root's alone. Without it nothing is counted and nothing happens. */
const FAULT_FILE = '/run/rediacc/fault.json';

interface Fault {
  /** Number of the change, from 1; absent: they are only counted. */
  at?: number;
  /** "during": a program has been started and still runs. */
  when?: 'before' | 'during' | 'after';
  /** It has happened: `at` does not count any more. */
  hit?: boolean;
  /** What was changed since the file was written, in words. */
  changes: string[];
}

/** Counts what runs change through the port, and ends the process with SIGKILL where the file says so. */
export function withFaultHook(system: System, file: string = FAULT_FILE): System {
  async function change<T>(words: string, work: () => Promise<T>): Promise<T> {
    const when = count(file, words);
    if (when === 'before') die();
    const working = work();
    if (when === 'during') setImmediate(die);
    const result = await working;
    if (when === 'after') die();
    return result;
  }
  return {
    ...system,
    run: (command, onOutput) =>
      looksOnly(command)
        ? system.run(command, onOutput)
        : change(describeCommand(command), () => system.run(command, onOutput)),
    writeFile: (path, text, mode) => change(`write ${path}`, () => system.writeFile(path, text, mode)),
    reserve: (root, path, bytes) => change(`reserve ${path}`, () => system.reserve(root, path, bytes)),
    async remove(path) {
      if ((await system.stat(path)) !== undefined) await change(`remove ${path}`, () => system.remove(path));
    },
    async makeDirectory(path, mode) {
      if ((await system.stat(path)) === undefined) {
        await change(`make directory ${path}`, () => system.makeDirectory(path, mode));
      }
    },
  };
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

function count(file: string, words: string): Fault['when'] {
  const fault = readFault(file);
  if (fault === undefined) return undefined;
  const changes = [...fault.changes, words];
  const isDue = fault.hit !== true && changes.length === fault.at;
  writeFileSync(file, JSON.stringify({ ...fault, changes, hit: fault.hit === true || isDue }), { mode: 0o600 });
  return isDue ? (fault.when ?? 'before') : undefined;
}

function readFault(file: string): Fault | undefined {
  try {
    const { uid, mode } = statSync(file);
    if (uid !== 0 || (mode & 0o022) !== 0) return undefined;
    return { changes: [], ...(JSON.parse(readFileSync(file, 'utf8')) as Partial<Fault>) };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Programs that change nothing, or nothing with one of these words. */
const LOOKS: Record<string, readonly string[] | 'always'> = {
  bash: 'always',
  blkid: 'always',
  cmp: 'always',
  cryptsetup: ['isLuks', 'luksDump', '--test-passphrase'],
  dmsetup: ['info'],
  docker: ['ps', 'version', 'inspect'],
  dumpe2fs: 'always',
  getent: 'always',
  ip: ['show'],
  ip6tables: ['-S'],
  iptables: ['-S'],
  journalctl: 'always',
  nft: ['list'],
  readlink: 'always',
  resize2fs: ['-P'],
  stat: 'always',
  systemctl: ['list-units', 'show', 'is-system-running'],
  tune2fs: ['-l'],
};

function looksOnly({ file, args }: Command): boolean {
  const words = LOOKS[file];
  return words === 'always' || (words?.some((word) => args.includes(word)) ?? false);
}
