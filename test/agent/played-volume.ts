// A repository over a real image, LUKS header, loop devices and ext4. Only dm-crypt is played, by a second loop device on the
// first one behind the header, and systemd, which does what it is told. It needs root.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunContext } from '../../src/agent/handlers.ts';
import { repoPaths } from '../../src/agent/layout.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import type { Command } from '../../src/lifecycle/command.ts';
import type { System } from '../../src/lifecycle/system.ts';
import type { PlanStep, RunEvent } from '../../src/protocol/events.ts';
import type { Guid } from '../../src/protocol/ids.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { spaceWith } from '../helpers/space.ts';

export const GUID = '22222222-2222-4222-8222-222222222222' as Guid;
export const KEY = new Secret('the credential');
export const MIB = 1024 ** 2;
/** Where cryptsetup puts the data by default. */
export const HEADER = 16 * MIB;

export interface World {
  /** The machine stops for good after so many changes. */
  changes?: number;
  /** The run is cancelled when this program is about to start with these words. */
  cancelAt?: string;
  /** The kernel's table says that it is mounted, wherever it is. */
  isMounted?: boolean;
  dryRun?: boolean;
  /** On the datastore. */
  freeBytes?: number;
}

export const sh = (file: string, ...args: string[]) => execFileSync(file, args, { stdio: 'pipe' }).toString().trim();

export class PlayedVolume {
  readonly datastore = realpathSync(mkdtempSync(join(tmpdir(), 'rdc-volume-')));
  readonly paths = repoPaths(this.datastore, GUID);
  /** The loop device that plays the open mapping. */
  mapping: string | undefined;
  /** Files that belong to the machine itself, which is not touched. */
  readonly #elsewhere = new Map<string, string>();
  readonly #units = new Set<string>();

  /** `fill` is given the mounted filesystem. */
  constructor(sizeBytes: number, fill: (at: string) => void, preallocated = false) {
    const { paths } = this;
    for (const name of ['.state', 'repositories', 'repos']) mkdirSync(join(this.datastore, name), { recursive: true });
    const more = { networkId: 2816, linkIndex: 0, filesystem: 'ext4', state: 'ready', autostart: false, createdAt: 0 };
    writeFileSync(
      paths.record,
      JSON.stringify({ version: 1, guid: GUID, name: 'shop', ...more, ...(preallocated ? { preallocated } : {}) }),
    );
    writeFileSync(paths.image, '', { mode: 0o600 });
    if (preallocated) sh('fallocate', '--length', String(sizeBytes), paths.image);
    else sh('truncate', `--size=${sizeBytes}`, paths.image);
    const format = ['luksFormat', '-q', '--type', 'luks2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
    execFileSync('cryptsetup', [...format, '--key-file', '-', paths.image], { input: KEY.reveal(), stdio: 'pipe' });
    this.inside((device) => {
      // As behind an encryption that lets no discard through.
      sh('mkfs.ext4', '-q', '-m', '1', '-E', preallocated ? 'nodiscard' : 'discard', device);
      mounted(device, fill);
      // Made in this very second, it would count as checked in it.
      sh('tune2fs', '-T', '20260101', device);
    });
  }

  destroy(): void {
    if (this.isReallyMounted()) execFileSync('umount', ['-q', this.paths.mountPoint], { stdio: 'ignore' });
    this.close();
    for (const loop of this.attached()) sh('losetup', '--detach', loop);
    rmSync(this.datastore, { recursive: true });
  }

  isReallyMounted(): boolean {
    return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${this.paths.mountPoint} `);
  }

  attached(): string[] {
    const list = ['--noheadings', '--output', 'NAME', '--associated', this.paths.image];
    return sh('losetup', ...list)
      .split('\n')
      .filter(Boolean);
  }

  /** As `repo mount` leaves it, except for the mount itself, which no loop device can have here while it grows. */
  open(): void {
    const loop = sh('losetup', '--find', '--show', this.paths.image);
    this.mapping = sh('losetup', '--find', '--show', `--offset=${HEADER}`, loop);
  }

  close(): void {
    if (this.mapping !== undefined) sh('losetup', '--detach', this.mapping);
    this.mapping = undefined;
  }

  /** With the filesystem of the closed image on a device. */
  inside(work: (device: string) => void): void {
    const device = sh('losetup', '--find', '--show', `--offset=${HEADER}`, this.paths.image);
    try {
      work(device);
    } finally {
      sh('losetup', '--detach', device);
    }
  }

  imageSize(): number {
    return statSync(this.paths.image).size;
  }

  /** `done`: the programs that changed something; `events`: what was told. */
  contextOf({ changes = Number.POSITIVE_INFINITY, cancelAt, ...world }: World = {}) {
    const controller = new AbortController();
    const cancelling = createLinuxSystem({ signal: controller.signal });
    const lasting = createLinuxSystem();
    const plan: PlanStep[] = [];
    const events: RunEvent[] = [];
    const done: string[] = [];
    let left = changes;
    const acting = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        if (left <= 0) throw new Error('killed');
        left -= 1;
        return work(...args);
      };
    };
    const looksOnly = ({ file, args }: Command) =>
      ['systemctl', 'dumpe2fs', 'stat'].includes(file) ||
      ['luksDump', '--list', '-P'].some((word) => args.includes(word));
    const change = (real: System) =>
      acting(async (command: Command) => {
        if (cancelAt !== undefined && `${command.file} ${command.args.join(' ')}`.startsWith(cancelAt))
          controller.abort();
        done.push(command.file);
        return this.#perform(real, world, command);
      });
    const systemOn = (real: System): System => ({
      ...real,
      ...this.#kernel(real, world),
      run: async (command) => (looksOnly(command) ? this.#perform(real, world, command) : change(real)(command)),
      writeFile: acting(async (path, text, mode) => {
        if (this.#isOurs(path)) await real.writeFile(path, text, mode);
        else this.#elsewhere.set(path, text);
      }),
      remove: acting(async (path) => {
        if (this.#isOurs(path)) await real.remove(path);
        else this.#elsewhere.delete(path);
      }),
      makeDirectory: acting(async (path, mode) => {
        if (this.#isOurs(path)) await real.makeDirectory(path, mode);
      }),
    });
    const report = (event: RunEvent) => {
      events.push(event);
      if (event.kind === 'plan') plan.push(...event.steps);
    };
    const context = {
      system: systemOn(cancelling),
      undoing: systemOn(lasting),
      report,
      dryRun: world.dryRun ?? false,
      run: 'x',
    } as unknown as RunContext;
    return { context, plan, done, events };
  }

  #isOurs(path: string): boolean {
    return path.startsWith(`${this.datastore}/`);
  }

  #systemctl([verb = '', ...words]: readonly string[]): string {
    if (verb === 'start') this.#units.add(String(words.at(-1)));
    if (verb === 'stop') this.#units.delete(String(words.at(-1)));
    if (verb === 'list-units') return [...this.#units].map((name) => `${name} loaded active running -`).join('\n');
    return verb === 'show' ? `NeedDaemonReload=no\nDropInPaths=${[...this.#elsewhere.keys()].join(' ')}\n` : '';
  }

  /** dm-crypt, systemd and the kernel's growing of a mounted filesystem are played; the rest is real. */
  async #perform(real: System, { isMounted }: World, command: Command) {
    const { file, args } = command;
    const { paths } = this;
    const none = { exitCode: 0, stdout: '', stderr: '', durationMs: 0 };
    const onLoop = (words: readonly string[]) =>
      words.map((word) => (word === paths.mapperDevice ? (this.mapping ?? word) : word));
    if (file === 'systemctl') return { ...none, stdout: this.#systemctl(args) };
    if (file === 'systemd-run') {
      const [tool = '', ...words] = args.slice(args.indexOf('--') + 1);
      return real.run({ ...command, file: tool, args: onLoop(words) });
    }
    if (file === 'cryptsetup' && args[0] === 'close') {
      this.close();
      return none;
    }
    if (file === 'cryptsetup' && args[0] === 'resize') {
      await real.run({ ...command, args: ['open', '--test-passphrase', '--key-file', '-', paths.image] });
      return real.run({ file: 'losetup', args: ['--set-capacity', String(this.mapping)] });
    }
    if (file === 'cryptsetup' && args[0] === 'open' && !args.includes('--test-passphrase')) {
      const device = String(args.at(-2));
      await real.run({ ...command, args: ['open', '--test-passphrase', '--key-file', '-', device] });
      this.mapping = sh('losetup', '--find', '--show', `--offset=${HEADER}`, device);
      return none;
    }
    if (file === 'resize2fs' && isMounted && !args.includes('-P')) sh('e2fsck', '-f', '-p', String(this.mapping));
    return real.run({ ...command, args: onLoop(args) });
  }

  /** What the kernel would tell of the mapping. */
  #kernel(real: System, { isMounted, freeBytes }: World): Pick<System, 'space' | 'list' | 'readFile'> {
    const { paths, datastore } = this;
    return {
      space: async (path) => (path === datastore ? spaceWith(freeBytes ?? 1024 ** 4) : real.space(path)),
      list: async (path) => {
        if (path === '/sys/block/dm-77/slaves') return this.attached().map((device) => device.slice('/dev/'.length));
        const names = await real.list(path);
        return path === '/sys/block' && this.mapping !== undefined ? [...(names ?? []), 'dm-77'] : names;
      },
      readFile: async (path) => {
        if (path === '/etc/rediacc/machine.json') {
          return JSON.stringify({ version: 1, datastore, registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' });
        }
        if (path === '/sys/block/dm-77/dm/name') return `${paths.mapping}\n`;
        if (path === '/sys/block/dm-77/dev') return '253:77\n';
        if (path === '/sys/block/dm-77/size') return sh('blockdev', '--getsz', String(this.mapping));
        if (path === '/proc/self/mountinfo' && (isMounted || this.isReallyMounted())) {
          return `99 1 253:77 / ${paths.mountPoint} rw - ext4 ${paths.mapperDevice} rw\n`;
        }
        return this.#elsewhere.get(path) ?? real.readFile(path);
      },
    };
  }
}

/** Somewhere else than where repositories are mounted. */
export function mounted(device: string, work: (at: string) => void): void {
  const at = mkdtempSync(join(tmpdir(), 'rdc-volume-at-'));
  sh('mount', device, at);
  try {
    work(at);
  } finally {
    sh('umount', at);
    rmSync(at, { recursive: true });
  }
}
