// rdc repo restore-header, on a model machine.
import { expect, test } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';

test('a damaged header is restored once; an intact one is left alone', async () => {
  const { rdc, done, machine } = workstation('m');
  await done('repo create shop --size 1G');
  const [shop] = machine.repos;
  if (shop !== undefined) shop.damaged = true;
  expect((await done('repo restore-header shop')).stderr).toContain('✓ the header of repository "shop" is restored');
  expect((await done('repo restore-header shop')).stderr).toContain(
    '= already: the header of repository "shop" is intact',
  );
  expect(await rdc('repo restore-header shop --credential-stdin', { stdin: 'another one' })).toMatchObject({
    exitCode: 12,
  });
});

test('without a credential it says where to get one', async () => {
  const { rdc, machine } = workstation('m');
  machine.add('shop', 'key');
  expect(await rdc('repo restore-header shop')).toMatchObject({
    stderr: expect.stringContaining('hint: rdc repo credential add shop'),
  });
});
