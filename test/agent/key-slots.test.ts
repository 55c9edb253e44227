// The slots of a real image: which of them count as a key.
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { dataSlots, freeSlot, usedSlots } from '../../src/agent/key-slots.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { shopTarget } from '../helpers/target.ts';
import { temporaryDirectory } from './harness.ts';

const KEY = new Secret('0123456789abcdef0123456789abcdef');
const CHEAP = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];

async function imageWith(second: string[]) {
  const target = shopTarget({ datastore: await temporaryDirectory() });
  const { image } = target.paths;
  mkdirSync(dirname(image), { recursive: true });
  writeFileSync(image, '');
  truncateSync(image, 32 * 1024 ** 2);
  const cryptsetup = (args: string[], input: string) => execFileSync('cryptsetup', args, { input, stdio: 'pipe' });
  cryptsetup(['luksFormat', '-q', '--type', 'luks2', ...CHEAP, '--key-file', '-', image], KEY.reveal());
  const key = dirname(image);
  writeFileSync(`${key}/key`, KEY.reveal());
  cryptsetup(
    ['luksAddKey', '-q', ...second, ...CHEAP, '--key-slot', '1', '--key-file', `${key}/key`, image, `${key}/key`],
    '',
  );
  return { target, system: createLinuxSystem() };
}

test('the last key of the data stays, though the same credential "opens" a slot that holds another key', async () => {
  const { target, system } = await imageWith(['--unbound', '--key-size', '512']);
  expect([await usedSlots(system, target), await dataSlots(system, target)]).toEqual([[0, 1], [0]]);
  await expect(freeSlot(system, target, 0, KEY)).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
  await freeSlot(system, target, 1, KEY);
  expect(await usedSlots(system, target)).toEqual([0]);
});

test('control: beside another key of the data it goes', async () => {
  const { target, system } = await imageWith([]);
  expect(await dataSlots(system, target)).toEqual([0, 1]);
  await freeSlot(system, target, 0, KEY);
  expect(await usedSlots(system, target)).toEqual([1]);
  await expect(freeSlot(system, target, 1, KEY)).rejects.toMatchObject({ code: 'WRONG_CREDENTIAL' });
});
