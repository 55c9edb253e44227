// A machine with repositories and with what crashes have left of others, as files and the programs that prune runs.
import { repoPaths } from '../../src/agent/layout.ts';
import type { Guid } from '../../src/protocol/ids.ts';
import { FakeSystem } from './fake-system.ts';

export const DATASTORE = '/mnt/rediacc';
/** By their role in the tests. */
export const OPEN = '11111111-1111-4111-8111-111111111111' as Guid;
export const CLOSED = '22222222-2222-4222-8222-222222222222' as Guid;
export const HALF_MADE = '33333333-3333-4333-8333-333333333333' as Guid;
export const UNKNOWN = '44444444-4444-4444-8444-444444444444' as Guid;

interface RecordShape {
  name: string;
  networkId: number;
  state?: 'creating' | 'ready';
  autostart?: boolean;
}

export class LeftoverMachine extends FakeSystem {
  /** ActiveState of what systemd has in memory. */
  readonly units = new Map<string, string>();
  /** Pids in namespaces. */
  readonly inside = new Map<string, number[]>();
  /** "/proc/7/fd/3 /dev/loop3" */
  openers: string[] = [];
  keySlots: Record<string, object> = { '0': {} };
  /** Names of mappings without a table. */
  readonly tableless = new Set<string>();
  /** Programs that fail, by their words. */
  readonly broken = new Set<string>();
  #devices = 0;

  constructor() {
    super();
    const machine = { version: 1, datastore: DATASTORE, registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' };
    this.file('/etc/rediacc/machine.json', JSON.stringify(machine));
    for (const name of ['repositories', 'repos', '.state', '.credentials/keys']) this.directory(`${DATASTORE}/${name}`);
    this.file('/proc/self/mountinfo', '25 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n');
    this.directory('/sys/block').directory('/run/systemd/system').directory('/sys/class/net/eth0').directory('/proc/7');
    for (const [name, model] of Object.entries(this.#models())) {
      this.program(name, ({ args }) => (this.broken.has([name, ...args].join(' ')) ? { exitCode: 32 } : model(args)));
    }
  }

  record(guid: Guid, { name, networkId, state = 'ready', autostart = false }: RecordShape): this {
    const record = {
      version: 1,
      guid,
      name,
      networkId,
      linkIndex: 0,
      filesystem: 'ext4',
      state,
      autostart,
      createdAt: 0,
    };
    return this.file(repoPaths(DATASTORE, guid).record, JSON.stringify(record));
  }

  image(guid: Guid): this {
    return this.file(repoPaths(DATASTORE, guid).image, 'LUKS');
  }

  /** Its kernel name. */
  loop(guid: Guid, deleted = false): string {
    const name = `loop${this.#devices++}`;
    this.file(
      `/sys/block/${name}/loop/backing_file`,
      `${repoPaths(DATASTORE, guid).image}${deleted ? ' (deleted)' : ''}\n`,
    );
    return name;
  }

  /** Its device number. */
  map(guid: Guid, loop: string, mapping: string = repoPaths(DATASTORE, guid).mapping): string {
    const name = `dm-${this.#devices++}`;
    const number = `253:${name.slice(3)}`;
    this.file(`/sys/block/${name}/dm/name`, `${mapping}\n`).file(`/sys/block/${name}/dev`, `${number}\n`);
    this.directory(`/sys/block/${name}/slaves/${loop}`);
    return number;
  }

  mount(guid: Guid, device: string, below = ''): this {
    const { mountPoint, mapperDevice } = repoPaths(DATASTORE, guid);
    this.directory(`${mountPoint}${below}`);
    const line = `60 25 ${device} / ${mountPoint}${below} rw shared:9 - ext4 ${mapperDevice} rw\n`;
    return this.file('/proc/self/mountinfo', `${this.#mountinfo()}${line}`);
  }

  /** Up, with all that belongs to it. */
  open(guid: Guid, shape: RecordShape): this {
    const id = shape.networkId;
    this.record(guid, shape)
      .image(guid)
      .mount(guid, this.map(guid, this.loop(guid)));
    for (const part of ['volume', 'net', 'docker', 'repo']) {
      this.units.set(`rediacc-${part}@${guid}.service`, 'active');
      this.file(`/run/systemd/system/rediacc-${part}@${guid}.service.d/10-rediacc.conf`, '');
    }
    this.directory(`/sys/class/net/rdh${id}`).file(`/run/netns/rd${id}`).file(`/run/rediacc/${id}/docker.sock`);
    return this.file(`/run/rediacc/docker-${id}.sock`).file(`/run/rediacc/needs-down/${guid}`);
  }

  /** Everything but what never changes. */
  state(): string[] {
    return [...this.tree(''), ...[...this.units].map((unit) => unit.join(' '))].sort();
  }

  /** Every process has a mount namespace of its own. */
  #views(): string[] {
    const pids = [...this.nodes.keys()].flatMap((path) => /^\/proc\/(\d+)\/mountinfo$/.exec(path)?.[1] ?? []);
    return pids.flatMap((pid) => [`/proc/${pid}/ns/mnt mnt:[${pid}]`, `/proc/${pid}/root /`]);
  }

  #mountinfo(): string {
    return this.nodes.get('/proc/self/mountinfo')?.text ?? '';
  }

  #removeTree(path: string): void {
    for (const name of [...this.nodes.keys()])
      if (name === path || name.startsWith(`${path}/`)) this.nodes.delete(name);
  }

  #models(): Record<string, (args: readonly string[]) => string | { exitCode: number }> {
    const last = (args: readonly string[]) => args.at(-1) ?? '';
    return {
      systemctl: (args) => {
        if (args[0] === 'list-units')
          return [...this.units].map(([name, active]) => `${name} loaded ${active} ${active} of it\n`).join('');
        if (args[0] === 'stop' || args[0] === 'reset-failed') this.units.delete(last(args));
        return '';
      },
      cryptsetup: (args) => {
        if (args[0] === 'luksDump') return JSON.stringify({ keyslots: this.keySlots });
        const found = [...this.nodes].find(
          ([path, { text }]) => path.endsWith('/dm/name') && text === `${last(args)}\n`,
        );
        if (args[0] !== 'close' || found === undefined) return { exitCode: 4 };
        this.#removeTree(found[0].slice(0, -'/dm/name'.length));
        return '';
      },
      dmsetup: (args) => {
        if (args[0] === 'info') return [...this.tableless].map((name) => `${name}:253:9\n`).join('');
        return this.tableless.delete(last(args)) ? '' : { exitCode: 1 };
      },
      losetup: (args) => {
        const directory = `/sys/block/${last(args).slice('/dev/'.length)}`;
        if (!this.nodes.has(directory)) return { exitCode: 1 };
        this.#removeTree(directory);
        return '';
      },
      umount: (args) => {
        const kept = this.#mountinfo()
          .split('\n')
          .filter((line) => !line.includes(` ${last(args)} `));
        this.file('/proc/self/mountinfo', kept.join('\n'));
        return '';
      },
      ip: (args) => {
        if (args[1] === 'pids') return (this.inside.get(last(args)) ?? []).map((pid) => `${pid}\n`).join('');
        this.#removeTree(args[0] === 'link' ? `/sys/class/net/${last(args)}` : `/run/netns/${last(args)}`);
        return '';
      },
      rm: (args) => {
        this.#removeTree(last(args));
        return '';
      },
      find: (args) => {
        const lines = args.includes('/proc/self/ns/mnt') ? this.#views() : this.openers;
        return lines.map((line) => `${line}\0`).join('');
      },
    };
  }
}
