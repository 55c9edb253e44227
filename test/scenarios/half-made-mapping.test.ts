// cryptsetup killed in the first moments of an opening leaves a mapping that opens nothing, and which it neither opens over nor
// closes. The same command once more ends as if it had never been.
import { describe, expect, test } from 'vitest';
import { createCreateHandler } from '../../src/agent/repo-create.ts';
import { deleteRepo } from '../../src/agent/repo-delete.ts';
import { mountRepo, unmountRepo } from '../../src/agent/repo-volume.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { DATASTORE, ModelMachine } from '../helpers/model-machine.ts';

const GUID = '11111111-1111-4111-8111-111111111111';
const KEY = new Secret('the credential');
const NEW = { name: 'shop', guid: GUID, sizeBytes: 1024 ** 3, credential: KEY, kdf: 'random' };
const MAPPING = `rediacc-${GUID}`;

const OPERATIONS = {
  mount: (machine: ModelMachine) => machine.call(mountRepo, { repo: GUID, credential: KEY } as never),
  unmount: (machine: ModelMachine) => machine.call(unmountRepo, { repo: GUID } as never),
  delete: (machine: ModelMachine) => machine.call(deleteRepo, { repo: GUID } as never),
};

async function created(): Promise<ModelMachine> {
  const machine = new ModelMachine();
  await machine.call(createCreateHandler(), NEW as never);
  return machine;
}

describe.each([true, false])('with a table that is not in force: %s', (hasTable) => {
  test.each(Object.keys(OPERATIONS) as (keyof typeof OPERATIONS)[])('%s', async (name) => {
    const undisturbed = await created();
    await OPERATIONS[name](undisturbed);
    const machine = await created();
    await machine.halfOpen(`${DATASTORE}/repositories/${GUID}`, MAPPING, hasTable);
    await OPERATIONS[name](machine);
    expect(machine.state()).toEqual(undisturbed.state());
    expect(machine.mappings()).toEqual(undisturbed.mappings());
    // Without a table it is in nobody's way until the next opening.
    expect([...machine.tableless]).toEqual(hasTable || name !== 'unmount' ? [] : [MAPPING]);
  });

  test('one that is killed under a living agent is removed by that', async () => {
    const machine = await created();
    const open = machine.run.bind(machine);
    machine.run = async (command, onOutput) => {
      if (command.file !== 'cryptsetup' || command.args[0] !== 'open') return open(command, onOutput);
      await machine.halfOpen(`${DATASTORE}/repositories/${GUID}`, MAPPING, hasTable);
      throw new Error('killed');
    };
    await expect(OPERATIONS.mount(machine)).rejects.toThrow('killed');
    expect([machine.mappings(), machine.loops(), [...machine.tableless]]).toEqual([[], [], []]);
  });
});
