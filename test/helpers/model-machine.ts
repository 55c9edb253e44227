// A server with repositories, on the model machine: images with LUKS headers, loop devices, mappings, mounts, systemd's units.
// What a program does is in model-programs.ts. `crashAfter` cuts it off before any change, as often as a test likes.
import type { Handlers, RunContext } from '../../src/agent/handlers.ts';
import { attachLoop } from '../../src/lifecycle/luks.ts';
import type { FakeNode } from './fake-system.ts';
import { FakeSystem } from './fake-system.ts';
import { MODEL_PROGRAMS } from './model-programs.ts';

export const DATASTORE = '/mnt/rediacc';
const MACHINE = { version: 1, datastore: DATASTORE, registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' };
const ROOT_MOUNT = '25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n';

/** A LUKS header as the text of an image or of its backup. `volumeKey` tells whose data it opens. */
export interface Header {
  uuid: string;
  volumeKey: number;
  slots: Record<string, string>;
}

interface Inside {
  filesystem: string;
  /** Paths below the mount point. */
  files: Map<string, FakeNode>;
}

export class ModelMachine extends FakeSystem {
  /** Active units. */
  readonly active = new Set<string>();
  /** What is encrypted, by volume key. */
  readonly volumes = new Map<number, Inside>();
  volumeKeys = 0;
  /** Mappings without a table, by name. */
  readonly tableless = new Set<string>();
  readonly #inodes = new WeakMap<FakeNode, number>();
  #lastInode = 1;

  constructor() {
    super();
    this.file('/etc/rediacc/machine.json', JSON.stringify(MACHINE)).file('/proc/self/mountinfo', ROOT_MOUNT);
    this.file('/proc/sys/net/ipv4/ip_forward', '1\n');
    for (const path of ['.state', 'repositories', 'repos', '.credentials/keys']) this.directory(`${DATASTORE}/${path}`);
    for (const path of ['/sys/block', '/sys/class/net', '/run/systemd/system', '/run/netns']) this.directory(path);
    for (const [name, model] of Object.entries(MODEL_PROGRAMS)) this.program(name, (call) => model(this, call));
  }

  header(path: string): Header | undefined {
    const text = this.nodes.get(path)?.text ?? '';
    return text.startsWith('{"uuid"') ? (JSON.parse(text) as Header) : undefined;
  }

  setHeader(path: string, header: Header): void {
    const node = this.nodes.get(path);
    if (node === undefined) throw new Error(`${path} is gone`);
    node.text = JSON.stringify(header);
  }

  /** The image behind a loop device, or the path itself. */
  imageOf(path: string): string {
    return this.nodes.get(`/sys/block/${path.slice('/dev/'.length)}/loop/backing_file`)?.text.trim() ?? path;
  }

  /** Undefined where there is no such file. All of them are on one device, number 0. */
  inodeOf(path: string): number | undefined {
    const node = this.nodes.get(path);
    if (node === undefined) return undefined;
    const inode = this.#inodes.get(node) ?? ++this.#lastInode;
    this.#inodes.set(node, inode);
    return inode;
  }

  loops(): string[] {
    return this.#devices('loop');
  }

  mappings(): { device: string; name: string; loop: string }[] {
    return this.#devices('dm-').map((device) => ({
      device,
      name: this.nodes.get(`/sys/block/${device}/dm/name`)?.text.trim() ?? '',
      loop: this.#below(`/sys/block/${device}/slaves`)[0] ?? '',
    }));
  }

  /** As a cryptsetup leaves it that is killed while it opens: before it has given the kernel a table, or before that is in force. */
  async halfOpen(image: string, mapping: string, hasTable: boolean): Promise<void> {
    if (this.loops().length === 0) await this.run(attachLoop(image));
    if (hasTable) this.addMapping(mapping, this.loops()[0] ?? '', 0);
    else this.tableless.add(mapping);
  }

  addMapping(name: string, loop: string, sectors: number): void {
    const path = `/sys/block/dm-${this.mappings().length}`;
    this.file(`${path}/dm/name`, `${name}\n`).file(`${path}/dev`, '253:0\n').file(`${path}/size`, `${sectors}\n`);
    this.directory(`${path}/slaves`).file(`${path}/slaves/${loop}`);
  }

  /** Of an open mapping, by its name or its path below /dev/mapper. */
  inside(mapping: string): Inside | undefined {
    const name = mapping.replace('/dev/mapper/', '');
    const loop = this.mappings().find((one) => one.name === name)?.loop;
    const header = loop === undefined ? undefined : this.header(this.imageOf(`/dev/${loop}`));
    return header === undefined ? undefined : this.volumes.get(header.volumeKey);
  }

  removeTree(root: string): void {
    for (const path of [...this.nodes.keys()]) {
      if (path === root || path.startsWith(`${root}/`)) this.nodes.delete(path);
    }
  }

  /** As the daemon calls a handler. */
  async call<K extends keyof Handlers>(handler: unknown, input: Parameters<Handlers[K]>[0]): Promise<unknown> {
    const context = {
      system: this,
      undoing: this,
      dryRun: false,
      run: '000000000000-00000000',
      report: () => undefined,
      signal: new AbortController().signal,
    };
    const work = handler as (input: unknown, context: RunContext) => Promise<{ output?: unknown }>;
    return (await work(input, context as unknown as RunContext)).output;
  }

  /** Everything that a test compares: no times, and of a header which slots hold what, and whether its backup is one of it. */
  state(): string[] {
    const tree = this.tree('').filter((line) => !/ (directory|file) \/(sys\/block|proc)\//.test(line));
    const images = [...this.nodes.keys()].filter((path) => /\/repositories\/[^/]+$/.test(path));
    const headers = images.map((image) => {
      const backup = image.replace('/repositories/', '/.state/').concat('.luks-header');
      const isBackedUp = this.nodes.get(backup)?.text === this.nodes.get(image)?.text;
      const { uuid, slots, volumeKey } = this.header(image) ?? { uuid: '', slots: {}, volumeKey: 0 };
      const { filesystem, files } = this.volumes.get(volumeKey) ?? {};
      const data = [...(files ?? [])].map(([path, { text }]) => `${path} ${text}`).sort();
      return JSON.stringify({ image, uuid, slots, isBackedUp, filesystem, data });
    });
    const loops = this.loops().map((loop) => {
      const value = (name: string) => this.nodes.get(`/sys/block/${loop}/loop/${name}`)?.text.trim();
      return `loop ${value('backing_file')} autoclear ${value('autoclear')} size ${this.nodes.get(`/sys/block/${loop}/size`)?.text}`;
    });
    const mappings = this.mappings().map(({ name }) => `mapping ${name}`);
    const mounts = (this.nodes.get('/proc/self/mountinfo')?.text ?? '')
      .split('\n')
      .map((line) => line.replace(/^\d+/, ''));
    const units = [...this.active].map((name) => `unit ${name}`);
    return [...tree, ...headers, ...loops, ...mappings, ...mounts, ...units]
      .map((line) => line.replaceAll(/\{"uuid".*?\}\}/g, 'HEADER').replaceAll(/"(createdAt|at)": ?\d+/g, '"$1": T'))
      .sort();
  }

  #devices(kind: string): string[] {
    return this.#below('/sys/block').filter((name) => name.startsWith(kind));
  }

  #below(path: string): string[] {
    const names = [...this.nodes.keys()].filter((name) => name.startsWith(`${path}/`));
    return [...new Set(names.map((name) => name.slice(path.length + 1).split('/')[0] ?? ''))].sort();
  }
}
