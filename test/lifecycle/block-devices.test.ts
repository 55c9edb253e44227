// Loop devices and mappings as sysfs shows them, while others come and go.
import { expect, test } from 'vitest';
import { observeBlockDevices } from '../../src/lifecycle/block-devices.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

/** With the mappings dm-0 and dm-1; reading the name of dm-0 fails as errno(3) says. */
function machine(code: string) {
  const system = new FakeSystem();
  for (const [kernelName, name] of [
    ['dm-0', 'rediacc-going'],
    ['dm-1', 'rediacc-shop'],
  ]) {
    system.file(`/sys/block/${kernelName}/dm/name`, `${name}\n`).file(`/sys/block/${kernelName}/dev`, '253:0\n');
  }
  const { readFile } = system;
  system.readFile = async (path) => {
    if (path !== '/sys/block/dm-0/dm/name') return await readFile.call(system, path);
    throw Object.assign(new Error(`${code}: read`), { code });
  };
  return system;
}

test("a neighbour's mapping that is being removed at this moment is none", async () => {
  const { mappings } = await observeBlockDevices(machine('EINVAL'));
  expect(mappings.map(({ name }) => name)).toEqual(['rediacc-shop']);
});

test('control: what cannot be read for another reason is told', async () => {
  await expect(observeBlockDevices(machine('EIO'))).rejects.toThrow('EIO');
});
