// Every operation on a repository, cut off before every change and looking that it makes, then repeated once as a person does:
// it ends well, and the machine is as after an undisturbed run. On the model machine; test/long/step-matrix.test.ts does the
// same on a real one.
import { describe, expect, test } from 'vitest';
import { disableAutostart, enableAutostart } from '../../src/agent/repo-autostart.ts';
import { createCreateHandler } from '../../src/agent/repo-create.ts';
import { deleteRepo } from '../../src/agent/repo-delete.ts';
import { downRepo } from '../../src/agent/repo-down.ts';
import { listRepos } from '../../src/agent/repo-queries.ts';
import { upRepo } from '../../src/agent/repo-up.ts';
import { mountRepo, unmountRepo } from '../../src/agent/repo-volume.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { Crash } from '../helpers/fake-system.ts';
import { DATASTORE, ModelMachine } from '../helpers/model-machine.ts';

const GUID = '11111111-1111-4111-8111-111111111111';
const KEY = new Secret('the credential');
const NEW = { name: 'shop', guid: GUID, sizeBytes: 1024 ** 3, credential: KEY, kdf: 'random' };

type Operation = (machine: ModelMachine) => Promise<unknown>;

const create: Operation = (machine) => machine.call(createCreateHandler(), NEW as never);
const mount: Operation = (machine) => machine.call(mountRepo, { repo: GUID, credential: KEY } as never);
const unmount: Operation = (machine) => machine.call(unmountRepo, { repo: GUID } as never);
const up: Operation = (machine) =>
  machine.call(upRepo, { repo: GUID, mount: true, prepOnly: false, credential: KEY } as never);
const down: Operation = (machine) => machine.call(downRepo, { repo: GUID, unmount: true } as never);
const remove: Operation = (machine) => machine.call(deleteRepo, { repo: GUID } as never);
const enable: Operation = (machine) => machine.call(enableAutostart, { repo: GUID, credential: KEY } as never);
const disable: Operation = (machine) => machine.call(disableAutostart, { repo: GUID, credential: KEY } as never);

const HEADER_BACKUP = `${DATASTORE}/.state/${GUID}.luks-header`;
const loseHeaderBackup: Operation = async (machine) => machine.nodes.delete(HEADER_BACKUP);

const MATRIX: { name: string; before: Operation[]; operation: Operation }[] = [
  { name: 'create', before: [], operation: create },
  { name: 'mount', before: [create], operation: mount },
  { name: 'mount of one whose header backup is lost', before: [create, loseHeaderBackup], operation: mount },
  { name: 'up', before: [create], operation: up },
  { name: 'up of a mounted one', before: [create, mount], operation: up },
  { name: 'unmount', before: [create, mount], operation: unmount },
  { name: 'down --unmount', before: [create, up], operation: down },
  { name: 'delete of a closed one', before: [create], operation: remove },
  { name: 'delete of one that is up, with autostart', before: [create, enable, up], operation: remove },
  { name: 'autostart enable', before: [create], operation: enable },
  { name: 'autostart disable', before: [create, enable], operation: disable },
];

async function prepared(before: readonly Operation[]): Promise<ModelMachine> {
  const machine = new ModelMachine();
  for (const operation of before) await operation(machine);
  return machine;
}

describe.each(MATRIX)('$name', ({ before, operation }) => {
  test('cut off anywhere, one repeat converges', async () => {
    const undisturbed = await prepared(before);
    const from = undisturbed.journal.length;
    await operation(undisturbed);
    const actions = undisturbed.journal.slice(from);
    expect(actions.length).toBeGreaterThan(5);
    for (const [index, action] of actions.entries()) {
      const machine = await prepared(before);
      machine.crashAfter = index;
      // What only warns where it cannot do its work, as a reserve, resolves all the same.
      await operation(machine).catch(() => undefined);
      expect(machine.crashAfter, action).toBe(0);
      machine.crashAfter = Number.POSITIVE_INFINITY;
      await operation(machine).catch((error: unknown) => {
        throw new Error(`the repeat after a cut before ${index}, "${action}"`, { cause: error });
      });
      expect(machine.state(), `cut off before ${index}, "${action}"`).toEqual(undisturbed.state());
    }
    // Also where only its answer was lost.
    await operation(undisturbed);
  });
});

describe.each([
  { name: 'up', before: [create], operation: up },
  { name: 'down', before: [create, up], operation: down },
])('$name', ({ name, before, operation }) => {
  test('cut off anywhere, it does not look whole: up-all and --changed do not pass it by', async () => {
    const undisturbed = await prepared(before);
    const from = undisturbed.journal.length;
    await operation(undisturbed);
    const seen = new Set<string>();
    for (const index of undisturbed.journal.slice(from).keys()) {
      const machine = await prepared(before);
      machine.crashAfter = index;
      await operation(machine).catch(() => undefined);
      machine.crashAfter = Number.POSITIVE_INFINITY;
      const { lastUp } = JSON.parse(machine.nodes.get(`${DATASTORE}/.state/${GUID}.json`)?.text ?? '');
      const listed = await listRepos(
        { system: machine },
        { busy: () => undefined, supervision: { attention: () => undefined } },
      );
      const state = listed[0]?.state ?? 'none';
      seen.add(state);
      // Before the first change, and after the last one.
      const isWhole = lastUp?.outcome === 'done';
      expect(state === 'up', `${name} cut off before ${index}: ${state}, ${lastUp?.outcome}`).toBe(
        isWhole && state === 'up',
      );
    }
    expect([...seen]).toContain('partial');
  });
});

describe.each([
  { name: 'mount', operation: mount },
  { name: 'up', operation: up },
])('$name', ({ operation }) => {
  test.each([
    ['lost', loseHeaderBackup],
    ['of other data', async (machine: ModelMachine) => machine.file(HEADER_BACKUP, 'other')],
  ] as const)(
    'makes a header backup anew that is %s; of other data only where it opens the volume itself',
    async (what, damage) => {
      const image = (machine: ModelMachine) => machine.nodes.get(`${DATASTORE}/repositories/${GUID}`)?.text;
      const backup = (machine: ModelMachine) => machine.nodes.get(HEADER_BACKUP)?.text;
      const closed = await prepared([create, damage, operation]);
      expect(backup(closed)).toBe(image(closed));
      const open = await prepared([create, mount, damage]);
      const before = backup(open);
      await operation(open);
      expect(backup(open)).toBe(what === 'lost' ? image(open) : before);
    },
  );
});

test('control: a step that is not continued is found', async () => {
  const undisturbed = await prepared([create]);
  const machine = await prepared([create]);
  machine.file(`${HEADER_BACKUP}.new`);
  expect(machine.state()).not.toEqual(undisturbed.state());
});

test('a delete ends well although somebody has written below the mount point of the closed repository', async () => {
  const machine = await prepared([create]);
  machine.file(`${DATASTORE}/repos/${GUID}/of-somebody`);
  await remove(machine);
  expect(machine.nodes.has(`${DATASTORE}/.state/${GUID}.json`)).toBe(false);
  expect(machine.nodes.has(`${DATASTORE}/repos/${GUID}/of-somebody`)).toBe(true);
});

test('a create that was cut off and is repeated without --preallocate makes a sparse image', async () => {
  const machine = await prepared([]);
  const record = `${DATASTORE}/.state/${GUID}.json`;
  for (let actions = 1; !machine.nodes.has(record); actions++) {
    machine.crashAfter = actions;
    await create(machine).catch((error: unknown) => expect(error).toBeInstanceOf(Crash));
  }
  const claimed = JSON.parse(machine.nodes.get(record)?.text ?? '');
  expect(claimed.state).toBe('creating');
  machine.file(record, JSON.stringify({ ...claimed, preallocated: true }));
  machine.crashAfter = Number.POSITIVE_INFINITY;
  await create(machine);
  const { preallocated, networkId } = JSON.parse(machine.nodes.get(record)?.text ?? '');
  expect([preallocated, networkId]).toEqual([undefined, claimed.networkId]);
});

test('a link in the place of our directory is refused before anything is made or started through it', async () => {
  const machine = await prepared([create, mount]);
  const internal = `${DATASTORE}/repos/${GUID}/.rediacc`;
  machine.nodes.set(internal, { kind: 'symlink', text: '/root/evil', mode: 0o777, uid: 0, gid: 0 });
  const before = machine.journal.length;
  await expect(up(machine)).rejects.toMatchObject({
    code: 'INVALID_INPUT',
    message: '".rediacc" in repository "shop" is not a directory: it is docker\'s and ours',
  });
  const made = machine.journal.slice(before);
  expect(made.filter((line) => /start rediacc-docker|\.rediacc\/(home|docker)/.test(line))).toEqual([]);
  // Control: without the link it is made and started.
  machine.nodes.delete(internal);
  await up(machine);
  expect(machine.journal.join('\n')).toMatch(/start rediacc-docker/);
});
