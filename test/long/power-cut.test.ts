// Power cuts in a row, see test/machine/power-cutting.ts, and at the end a full check of both filesystems. CUTS=10 SEED=40 npm
// run test:long -- test/long/power-cut.test.ts for ten instead of 100, with the seeds from 41 on.
import { expect, test } from 'vitest';
import { exec } from '../../src/cli/playground/exec.ts';
import { expectNoCredential } from '../machine/canary.ts';
import { cutMachine, powerCuts } from '../machine/power-cutting.ts';

powerCuts({ cuts: Number(process.env.CUTS ?? 100), seed: Number(process.env.SEED ?? 0) });

test('after all of them both filesystems are whole, and a power-off in order needs no luck', async () => {
  const { vm, desk, disk, image, medium } = cutMachine();
  await desk.done('repo down shop --unmount');
  const credential = (await desk.done('repo credential show shop --reveal')).trim();
  const check = `umask 077; cat >/run/key; cryptsetup open --key-file /run/key ${image} checked; rm /run/key
    e2fsck -fn /dev/mapper/checked; code=$?; cryptsetup close checked; exit $code`;
  expect((await vm.ssh('root', check, { input: credential })).exitCode).toBe(0);
  await expectNoCredential({ vm, desk }, { medium });
  disk.forget();
  const { exitCode, stdout, stderr } = await exec(['e2fsck', '-fn', medium], { allow: [4, 8, 12] });
  expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
});
