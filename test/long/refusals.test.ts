// What goes wrong on a real machine, as in test/machine/refusals.test.ts: the longer ones.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exec } from '../../src/cli/playground/exec.ts';
import { type Desk, openDesk } from '../machine/desk.ts';
import { remainsOf } from '../machine/remains.ts';
import { startSetUp } from '../machine/set-up.ts';
import type { TestVm } from '../machine/vm.ts';

let vm: TestVm;
let desk: Desk;

beforeAll(async () => {
  ({ vm, desk } = await startSetUp());
  await desk.done('repo create shop --size 150M');
});
afterAll(async () => {
  await desk?.destroy();
  await vm?.destroy();
});

const guidOf = async (name: string) => (await desk.json<{ guid: string }>(`repo status ${name}`)).guid;

test('an agent of another build is replaced, and what runs is not disturbed', async () => {
  await desk.done('repo mount shop');
  await vm.root("printf '\\n// another build' >> /usr/lib/rediacc/current/renet.mjs; systemctl restart rediacc-agent");
  const result = await desk.rdc('repo status shop');
  expect(result).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('replacing the agent') });
  expect((await desk.rdc('repo list')).stderr).toBe('');
  await desk.done('repo unmount shop');
});

test('full: an upload says so, and the repository is still in order', async () => {
  await exec(['mkdir', '-p', join(desk.home, 'big')]);
  await exec(['dd', 'if=/dev/urandom', `of=${join(desk.home, 'big/file')}`, 'bs=1M', 'count=100']);
  await writeFile(join(desk.home, 'big/small'), 'x'.repeat(100_000));
  await desk.done('repo create tight --size 100M');
  await desk.done('repo mount tight');
  const full = { exitCode: 13, stderr: expect.stringContaining('"tight"') };
  expect(await desk.rdc(`sync upload -r tight --local ${desk.home}/big`)).toMatchObject(full);
  // Nothing fits any more, be it as small as can be.
  expect(await desk.rdc(`sync upload -r tight --local ${desk.home}/big`)).toMatchObject(full);
  await desk.done('repo unmount tight');
  await desk.done('repo mount tight');
  await desk.done('repo delete tight --yes');
});

test('rotated, the old one opens nothing, and the header backup neither', async () => {
  await desk.rdc('repo create turned --size 100M --credential-stdin', { input: 'the first one\n' });
  await desk.done('repo credential add turned --credential-stdin', { input: 'the first one\n' });
  await desk.done('repo credential rotate turned');
  const { guid, image } = await desk.json<{ guid: string; image: string }>('repo status turned');
  const opens = (file: string) =>
    vm.ssh('root', `printf 'the first one' | cryptsetup open --test-passphrase ${file} -d -`);
  expect((await opens(image)).exitCode).toBe(2);
  expect((await opens(`/mnt/rediacc/.state/${guid}.luks-header`)).exitCode).toBe(2);
  expect(await vm.root(`cryptsetup luksDump ${image} | grep -c 'luks2$'`)).toBe('1');
  await desk.done('repo mount turned');
  await desk.done('repo unmount turned');
});

test('lets another workstation adopt the repository', async () => {
  const { guid } = await desk.json<{ guid: string }>('repo status turned');
  const credential = (await desk.done('repo credential show turned --reveal')).trim();
  const other = await openDesk(vm);
  try {
    await other.done('context create-local theirs --ssh-key ~/.ssh/id_ed25519');
    await other.done(`context add-machine box --ip ${vm.sshHost} --user deploy --port ${vm.sshPort}`);
    expect(await other.rdc('repo mount turned')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('turned'),
    });
    const wrong = await other.rdc(`repo adopt ${guid} --credential-stdin`, { input: 'not the one\n' });
    expect(wrong).toMatchObject({ exitCode: 12 });
    await other.done(`repo adopt ${guid} --credential-stdin`, { input: `${credential}\n` });
    await other.done('repo mount turned');
    await other.done('repo delete turned --yes');
  } finally {
    await other.destroy();
  }
});

describe('interrupted', () => {
  /** What carries a GUID: images, records, header backups. */
  const ENTRIES = 'ls /mnt/rediacc/repositories /mnt/rediacc/.state | grep -cE "^[0-9a-f]{8}-"';
  let entries: string;
  beforeAll(async () => {
    entries = await vm.root(ENTRIES);
  });

  test.each(['make the image', 'open the encrypted volume'])(
    'Ctrl-C during a create at "%s": repeated, it ends with one repository whose key is here',
    async (step) => {
      const { child, said, ended } = desk.start('repo create cut --size 100M');
      await until(() => said().includes(step));
      child.kill('SIGINT');
      expect(await ended, said()).toBe(130);
      await desk.done('repo create cut --size 100M --wait');
      await desk.done('repo mount cut');
      await desk.done('repo delete cut --yes');
      expect(await vm.root(ENTRIES)).toBe(entries);
    },
  );

  test('the agent killed in the middle of up(): the function ends with it, and the same command again finishes', async () => {
    const files = join(desk.home, 'files');
    await mkdir(files, { recursive: true });
    await writeFile(join(files, 'Rediaccfile'), 'up() {\n  echo begun\n  sleep "$(cat seconds)"\n}\n');
    await writeFile(join(files, 'seconds'), '600');
    await desk.done('repo mount shop');
    await desk.done(`sync upload -r shop --local ${files}`);
    const { said, ended } = desk.start('repo up shop');
    await until(() => said().includes('begun'));
    await vm.root('kill -9 $(systemctl show -p MainPID --value rediacc-agent)');
    // Its follower reaches the next agent, which tells how the run ended.
    expect(await ended, said()).toBe(1);
    expect(said()).toContain('was interrupted: the agent of the machine ended before it did');
    const { runs } = await desk.json<{ runs: { outcome: string }[] }>('run list');
    expect(runs[0]).toMatchObject({ outcome: 'interrupted' });
    expect(await vm.root("systemctl list-units --plain --no-legend 'rediacc-function-*'")).toBe('');
    await writeFile(join(files, 'seconds'), '0');
    await desk.done(`sync upload -r shop --local ${files}`);
    await desk.done('repo up shop');
    await desk.done('repo down shop --unmount');
    expect(await remainsOf(vm, { guid: await guidOf('shop'), networkId: 2816 })).toEqual([]);
  });
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 500_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it did not come to that');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
