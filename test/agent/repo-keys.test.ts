// Keys of a repository on the machine, over a model of cryptsetup: whatever was cut off or lost, no key is the last to go.
import { expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { createCreateHandler } from '../../src/agent/repo-create.ts';
import { rotateCredential } from '../../src/agent/repo-credential.ts';
import type { InputOf } from '../../src/protocol/operations.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const GUID = '11111111-1111-4111-8111-111111111111';
const IMAGE = `/mnt/rediacc/repositories/${GUID}`;
const BACKUP = `/mnt/rediacc/.state/${GUID}.luks-header`;
const RECORD = `/mnt/rediacc/.state/${GUID}.json`;

/** A machine with one closed repository, the key slots of which the test sees. */
class Server extends FakeSystem {
  slots = new Map<string, string>([['0', 'old']]);

  constructor() {
    super();
    const machine = { version: 1, datastore: '/mnt/rediacc', registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' };
    this.file('/etc/rediacc/machine.json', JSON.stringify(machine)).directory('/mnt/rediacc/.state');
    this.file(RECORD, JSON.stringify(record('ready')))
      .file(IMAGE, 'data', 0o600)
      .directory('/mnt/rediacc/repositories');
    this.#backUp(BACKUP);
    this.program('cmp', () => this.#compare()).program('cryptsetup', ({ args, stdin }) =>
      this.#cryptsetup(args, stdin),
    );
  }

  #compare() {
    return { exitCode: this.nodes.get(BACKUP)?.text === this.#metadata() ? 0 : 1 };
  }

  #cryptsetup(args: readonly string[], stdin: string) {
    const slot = args[args.indexOf('--key-slot') + 1] ?? '';
    switch (args[0]) {
      case 'open': {
        const header = args[args.indexOf('--header') + 1] ?? '';
        if (args.includes('--header') && !this.nodes.get(header)?.text.startsWith('{')) return { exitCode: 1 };
        if (!args.includes('--key-slot')) return { exitCode: [...this.slots.values()].includes(stdin) ? 0 : 2 };
        if (!this.slots.has(slot)) return { exitCode: 1 };
        return { exitCode: this.slots.get(slot) === stdin ? 0 : 2 };
      }
      case 'luksDump':
        return args.at(-1) === IMAGE ? this.#metadata() : (this.nodes.get(BACKUP)?.text ?? '');
      case 'luksAddKey':
        this.slots.set(slot, stdin.slice(Number(args[args.indexOf('--keyfile-size') + 1])));
        return '';
      case 'luksKillSlot':
        this.slots.delete(args.at(-1) ?? '');
        return '';
      case 'luksHeaderBackup':
        this.#backUp(args.at(-1) ?? '');
        return '';
      default:
        throw new Error(`no model of cryptsetup ${String(args[0])}`);
    }
  }

  #backUp(file: string): void {
    this.file(file, this.#metadata());
    (this.nodes.get(file) as { sizeBytes?: number }).sizeBytes = 16 * 1024 ** 2;
  }

  #metadata(): string {
    const config = { json_size: '12288', keyslots_size: '16744448' };
    return JSON.stringify({ keyslots: Object.fromEntries(this.slots), config });
  }
}

function record(state: 'ready' | 'creating') {
  const more = { networkId: 2816, linkIndex: 0, filesystem: 'ext4', autostart: false, createdAt: 0 };
  return { version: 1, guid: GUID, name: 'shop', state, ...more };
}

const context = (system: FakeSystem) =>
  ({ system, undoing: system, dryRun: false, report: () => undefined }) as unknown as RunContext;

function rotate(server: Server, old: string, next: string) {
  const input = { repo: GUID, credential: new Secret(old), newCredential: new Secret(next), kdf: 'random' };
  return rotateCredential(input as InputOf<'repo.rotate-credential'>, context(server));
}

function create(server: Server, credential: string) {
  const input = { name: 'shop', guid: GUID, sizeBytes: 1024 ** 3, credential: new Secret(credential), kdf: 'random' };
  return createCreateHandler()(input as InputOf<'repo.create'>, context(server));
}

test('a rotation cut off at any point: one of the two opens, and either way a later rotation comes to its end', async () => {
  for (let point = 0; ; point++) {
    const server = new Server();
    server.crashAfter = point;
    const cut = await rotate(server, 'old', 'new').then(
      () => false,
      () => true,
    );
    server.crashAfter = Number.POSITIVE_INFINITY;
    const left = [...server.slots.values()];
    expect(left.includes('old') || left.includes('new'), `point ${point}`).toBe(true);
    expect(server.nodes.get(BACKUP)?.text, `point ${point}`).toMatch(/^\{"keyslots":.*\}\}$/);
    // As rdc goes on where it has seen that the new one alone opens.
    await rotate(server, left.includes('old') ? 'old' : 'new', 'third');
    expect([...server.slots], `point ${point}`).toEqual([['0', 'third']]);
    expect(JSON.parse(server.nodes.get(BACKUP)?.text ?? '').keyslots).toEqual({ 0: 'third' });
    if (!cut) return;
  }
});

test('a header backup that comes out torn does not take the place of the whole one, and does not stay', async () => {
  const server = new Server();
  const cryptsetup = server.programs.get('cryptsetup');
  server.program('cryptsetup', (call) => {
    if (call.args[0] !== 'luksHeaderBackup') return cryptsetup?.(call) ?? '';
    server.file(call.args.at(-1) ?? '', 'torn');
    return '';
  });
  const before = server.nodes.get(BACKUP)?.text;
  await expect(rotate(server, 'old', 'new')).rejects.toMatchObject({ code: 'COMMAND_FAILED' });
  expect([...server.nodes.keys()].filter((path) => path.startsWith(BACKUP))).toEqual([BACKUP]);
  expect(server.nodes.get(BACKUP)?.text).toBe(before);
});

test('a create that is repeated with another credential does not pass for done', async () => {
  const server = new Server();
  await expect(create(server, 'old')).resolves.toMatchObject({ output: { changed: false } });
  await expect(create(server, 'other')).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
});

test('an image whose record was lost is neither made anew nor removed', async () => {
  const server = new Server();
  server.nodes.delete(RECORD);
  await expect(create(server, 'other')).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  expect(server.nodes.get(IMAGE)?.text).toBe('data');
  expect(server.nodes.has(RECORD)).toBe(false);
});
