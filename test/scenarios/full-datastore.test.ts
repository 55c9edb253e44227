// What a full datastore keeps from being started: whatever writes into a sparse image that has no room below it.
import { expect, test } from 'vitest';
import { createCreateHandler } from '../../src/agent/repo-create.ts';
import { upRepo } from '../../src/agent/repo-up.ts';
import { mountRepo } from '../../src/agent/repo-volume.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { DATASTORE, ModelMachine } from '../helpers/model-machine.ts';
import { spaceWith } from '../helpers/space.ts';

const GUID = '11111111-1111-4111-8111-111111111111';
const KEY = new Secret('the credential');
const MIB = 1024 ** 2;
const up = (machine: ModelMachine) =>
  machine.call(upRepo, { repo: GUID, mount: true, prepOnly: false, credential: KEY } as never);
const mount = (machine: ModelMachine) => machine.call(mountRepo, { repo: GUID, credential: KEY } as never);

async function opened(): Promise<ModelMachine> {
  const machine = new ModelMachine();
  const create = { name: 'shop', guid: GUID, sizeBytes: 1024 ** 3, credential: KEY, kdf: 'random' };
  await machine.call(createCreateHandler(), create as never);
  await mount(machine);
  return machine;
}

test('services of one that is open already; a mount of it changes nothing and is no matter', async () => {
  const machine = await opened();
  machine.spaces.set(DATASTORE, spaceWith(63 * MIB));
  await mount(machine);
  await expect(up(machine)).rejects.toMatchObject({ code: 'NO_SPACE', message: expect.stringContaining('is full') });
  expect([...machine.active].filter((unit) => unit.startsWith('rediacc-docker@'))).toEqual([]);
});

test('not those that run: they are called again', async () => {
  const machine = await opened();
  await up(machine);
  machine.spaces.set(DATASTORE, spaceWith(63 * MIB));
  await up(machine);
});

test('control: with room it is started', async () => {
  const machine = await opened();
  await up(machine);
  expect([...machine.active].filter((unit) => unit.startsWith('rediacc-docker@'))).toHaveLength(1);
});
