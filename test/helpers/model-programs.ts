// The programs of the model machine with repositories, interpreted over its state. What one refuses is refused with the exit
// code of the real one (cryptsetup(8), losetup(8), blkid(8), umount(8)).
import type { FakeAnswer, FakeCall } from './fake-system.ts';
import type { Header, ModelMachine } from './model-machine.ts';
import { systemctl } from './model-units.ts';

type Model = (machine: ModelMachine, call: FakeCall) => FakeAnswer;

const words = (args: readonly string[]) => args.filter((word) => !word.startsWith('-'));
const optionOf = (args: readonly string[], option: string) => {
  const at = args.indexOf(option);
  return at < 0 ? args.find((word) => word.startsWith(`${option}=`))?.slice(option.length + 1) : args[at + 1];
};

export const MODEL_PROGRAMS: Record<string, Model> = {
  cryptsetup: (machine, call) => CRYPTSETUP[call.args[0] ?? '']?.(machine, call) ?? noModel(call),
  // A header backup and the image that it is one of.
  cmp: (machine, { args }) => {
    const [backup = '', image = ''] = args.slice(-2);
    return { exitCode: machine.nodes.get(backup)?.text === machine.nodes.get(image)?.text ? 0 : 1 };
  },
  systemctl,
  docker: (_, { args }) => (args.includes('version') ? '26.1' : ''),
  nft: (_, { args }) => (args.includes('--json') ? '{"nftables": []}' : ''),
  ip: () => '',
  // No process but the agent itself.
  find: () => '',
  iptables: () => ({ exitCode: 1 }),
  ip6tables: () => ({ exitCode: 1 }),
  readlink: (_, { args }) => `${args.at(-1)}\n`,
  ln: (machine, { args }) => {
    machine.nodes.set(args.at(-1) ?? '', { kind: 'symlink', text: args.at(-2) ?? '', mode: 0o777, uid: 0, gid: 0 });
    return '';
  },
  install: (machine, { args }) => {
    machine.file(args.at(-1) ?? '', '', Number.parseInt(optionOf(args, '--mode') ?? '755', 8));
    return '';
  },
  truncate: (machine, { args }) => {
    const node = machine.nodes.get(args.at(-1) ?? '');
    if (node === undefined) return { exitCode: 1 };
    const [, how, size] = /^([<>]?)(\d+)$/.exec(optionOf(args, '--size') ?? '') ?? [];
    const before = node.sizeBytes ?? 0;
    const wanted = Number(size);
    node.sizeBytes = how === '>' ? Math.max(before, wanted) : how === '<' ? Math.min(before, wanted) : wanted;
    return '';
  },
  dd: (machine, { args }) => {
    machine.file(args.find((word) => word.startsWith('of='))?.slice(3) ?? '', "the machine's own key", 0o600);
    return '';
  },
  rm: (machine, { args }) => {
    for (const path of words(args)) {
      if (args.includes('--recursive')) machine.removeTree(path);
      else machine.nodes.delete(path);
    }
    return '';
  },
  dmsetup: (machine, { args }) => {
    const name = args.at(-1) ?? '';
    if (args[0] === 'info') return [...machine.tableless].map((one) => `${one}:253:9\n`).join('');
    const isInUse = mountinfo(machine).text.includes(`/dev/mapper/${name} `);
    if (machine.tableless.delete(name) || (!isInUse && dropMapping(machine, name))) return '';
    return { exitCode: 1, stderr: 'No such device or address' };
  },
  losetup: (machine, { args }) => {
    const path = args.at(-1) ?? '';
    if (args.includes('--list')) return listLoops(machine);
    if (args.includes('--detach')) return detach(machine, path.slice('/dev/'.length));
    if (machine.loops().some((loop) => machine.imageOf(`/dev/${loop}`) === path)) return { exitCode: 1 };
    const loop = `loop${machine.loops().length}`;
    machine.file(`/sys/block/${loop}/loop/backing_file`, `${path}\n`).file(`/sys/block/${loop}/loop/autoclear`, '0\n');
    machine.file(`/sys/block/${loop}/size`, String((machine.nodes.get(path)?.sizeBytes ?? 0) / 512));
    return '';
  },
  stat: (machine, { args }) => {
    const images = words(args);
    const rows = images
      .map((image) => [machine.inodeOf(image), image] as const)
      .filter(([inode]) => inode !== undefined);
    const stdout = rows.map(([inode, image]) => `0 ${inode} ${image}\n`).join('');
    return { exitCode: rows.length < images.length ? 1 : 0, stdout };
  },
  blkid: (machine, { args }) => machine.inside(args.at(-1) ?? '')?.filesystem || { exitCode: 2 },
  'mkfs.ext4': (machine, { args }) => {
    const inside = machine.inside(args.at(-1) ?? '');
    if (inside === undefined) return { exitCode: 1, stderr: 'no such device' };
    inside.filesystem = 'ext4';
    inside.files.clear();
    return '';
  },
  mount: (machine, { args }) => {
    const [device = '', mountPoint = ''] = args.slice(-2);
    const inside = machine.inside(device);
    if (inside?.filesystem !== 'ext4') return { exitCode: 32 };
    const line = `60 25 253:0 / ${mountPoint} rw shared:30 - ext4 ${device} rw\n`;
    mountinfo(machine).text += line;
    for (const [path, node] of inside.files) machine.nodes.set(`${mountPoint}${path}`, node);
    return '';
  },
  umount: (machine, { args }) => (unmount(machine, args.at(-1) ?? '') ? '' : { exitCode: 32 }),
};

function listLoops(machine: ModelMachine): string {
  const loopdevices = machine.loops().map((loop) => ({
    name: `/dev/${loop}`,
    'back-maj:min': '0:0',
    'back-ino': machine.inodeOf(machine.imageOf(`/dev/${loop}`)) ?? null,
  }));
  return loopdevices.length === 0 ? '' : JSON.stringify({ loopdevices });
}

/** False: it is not mounted. */
export function unmount(machine: ModelMachine, mountPoint: string): boolean {
  const table = mountinfo(machine);
  const line = table.text.split('\n').find((one) => one.includes(` ${mountPoint} `));
  if (line === undefined) return false;
  const inside = machine.inside(/(\/dev\/mapper\/\S+) rw$/.exec(line)?.[1] ?? '');
  table.text = table.text.replace(`${line}\n`, '');
  inside?.files.clear();
  for (const [path, node] of [...machine.nodes]) {
    if (!path.startsWith(`${mountPoint}/`)) continue;
    inside?.files.set(path.slice(mountPoint.length), node);
    machine.nodes.delete(path);
  }
  return true;
}

/** cryptsetup close; the loop device goes with it where it is marked so. */
export function closeMapping(machine: ModelMachine, name: string): FakeAnswer {
  const mapping = machine.mappings().find((one) => one.name === name);
  if (mapping === undefined || machine.nodes.get(`/sys/block/${mapping.device}/size`)?.text === '0\n')
    return { exitCode: 4 };
  if (mountinfo(machine).text.includes(`/dev/mapper/${name} `)) return { exitCode: 5 };
  dropMapping(machine, name);
  return '';
}

/** False: there is none of the name. */
function dropMapping(machine: ModelMachine, name: string): boolean {
  const mapping = machine.mappings().find((one) => one.name === name);
  if (mapping === undefined) return false;
  machine.removeTree(`/sys/block/${mapping.device}`);
  if (machine.nodes.get(`/sys/block/${mapping.loop}/loop/autoclear`)?.text === '1\n') {
    machine.removeTree(`/sys/block/${mapping.loop}`);
  }
  return true;
}

function mountinfo(machine: ModelMachine) {
  const node = machine.nodes.get('/proc/self/mountinfo');
  if (node === undefined) throw new Error('the model has no mountinfo');
  return node;
}

function detach(machine: ModelMachine, loop: string): FakeAnswer {
  const flag = machine.nodes.get(`/sys/block/${loop}/loop/autoclear`);
  if (flag === undefined) return { exitCode: 1 };
  if (machine.mappings().some((mapping) => mapping.loop === loop)) flag.text = '1\n';
  else machine.removeTree(`/sys/block/${loop}`);
  return '';
}

const CRYPTSETUP: Record<string, Model> = {
  luksFormat: (machine, { args, stdin }) => {
    const image = args.at(-1) ?? '';
    machine.volumeKeys += 1;
    machine.setHeader(image, {
      uuid: optionOf(args, '--uuid') ?? '',
      volumeKey: machine.volumeKeys,
      slots: { 0: stdin },
    });
    machine.volumes.set(machine.volumeKeys, { filesystem: '', files: new Map() });
    return '';
  },
  isLuks: (machine, { args }) => ({ exitCode: machine.header(args.at(-1) ?? '') === undefined ? 1 : 0 }),
  luksDump: (machine, { args }) => {
    const header = machine.header(machine.imageOf(args.at(-1) ?? ''));
    if (header === undefined) return { exitCode: 1 };
    return JSON.stringify({
      keyslots: header.slots,
      segments: { 0: { offset: '16777216' } },
      digests: { 0: { keyslots: Object.keys(header.slots), segments: ['0'], salt: '', digest: header.volumeKey } },
      config: { json_size: '12288', keyslots_size: '16744448' },
    });
  },
  luksHeaderBackup: (machine, { args }) => {
    const file = args.at(-1) ?? '';
    if (machine.nodes.has(file)) return { exitCode: 1, stderr: 'Requested header backup file already exists.' };
    machine.file(file, machine.nodes.get(args[1] ?? '')?.text, 0o400);
    (machine.nodes.get(file) as { sizeBytes?: number }).sizeBytes = 16 * 1024 ** 2;
    return '';
  },
  luksAddKey: (machine, { args, stdin }) => {
    const [image = '', key = ''] = args.slice(-2);
    const length = Number(optionOf(args, '--keyfile-size') ?? stdin.length);
    const added = key === '-' ? stdin.slice(length) : (machine.nodes.get(key)?.text ?? '');
    const header = machine.header(image);
    const slot = optionOf(args, '--key-slot') ?? '';
    if (header === undefined || slot in header.slots) return { exitCode: 1 };
    if (!Object.values(header.slots).includes(stdin.slice(0, length))) return { exitCode: 2 };
    machine.setHeader(image, { ...header, slots: { ...header.slots, [slot]: added } });
    return '';
  },
  luksKillSlot: (machine, { args }) => {
    const [image = '', slot = ''] = args.slice(-2);
    const header = machine.header(image);
    if (header === undefined || !(slot in header.slots)) return { exitCode: 1 };
    const { [slot]: _, ...slots } = header.slots;
    machine.setHeader(image, { ...header, slots });
    return '';
  },
  open: (machine, call) => {
    const { args, stdin } = call;
    const isTest = args.includes('--test-passphrase');
    const [device = '', name = ''] = isTest ? [args.at(-1)] : args.slice(-2);
    const image = machine.imageOf(device);
    const header = machine.header(optionOf(args, '--header') ?? image);
    if (header === undefined) return { exitCode: 1 };
    const keyFile = optionOf(args, '--key-file');
    const key = keyFile === '-' ? stdin : machine.nodes.get(keyFile ?? '')?.text;
    const exitCode = tryKey(header, key, optionOf(args, '--key-slot'));
    if (exitCode !== 0 || isTest) return { exitCode };
    const loop = device.slice('/dev/'.length);
    const isTaken = machine.mappings().some((one) => one.name === name || one.loop === loop);
    if (isTaken || machine.tableless.has(name)) return { exitCode: 5 };
    machine.addMapping(name, loop, 8);
    return '';
  },
  close: (machine, { args }) => closeMapping(machine, args.at(-1) ?? ''),
};

function tryKey({ slots }: Header, key: string | undefined, slot: string | undefined): number {
  if (slot !== undefined && !(slot in slots)) return 1;
  const keys = slot === undefined ? Object.values(slots) : [slots[slot]];
  return key !== undefined && keys.includes(key) ? 0 : 2;
}

function noModel({ args }: FakeCall): never {
  throw new Error(`no model for "cryptsetup ${args.join(' ')}"`);
}
