// What goes wrong on a real machine: each time a clear error by name, the right exit code, and nothing changed or lost.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exec } from '../../src/cli/playground/exec.ts';
import { type Desk, openDesk } from './desk.ts';
import { remainsOf } from './remains.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

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

const configFile = () => join(desk.home, '.config/rediacc/config.json');
const guidOf = async (name: string) => (await desk.json<{ guid: string }>(`repo status ${name}`)).guid;

async function refused(line: string, exitCode: number, ...words: string[]): Promise<void> {
  const result = await desk.rdc(line);
  expect(result, line).toMatchObject({ exitCode });
  for (const word of words) expect(result.stderr, line).toContain(word);
}

describe('the way to the machine', () => {
  test('a key that the server does not know', async () => {
    await exec(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(desk.home, 'other')]);
    await desk.done(
      `context add-machine locked --ip ${vm.sshHost} --user deploy --port ${vm.sshPort} --ssh-key ~/other`,
    );
    await refused('repo list -m locked', 4, '"locked"');
    await desk.done('context remove-machine locked --yes');
  });

  test('a user whose sudo asks for a password is told the line that setup needs', async () => {
    await desk.done(`context add-machine plain --ip ${vm.sshHost} --user nosudo --port ${vm.sshPort}`);
    await refused('context setup-machine plain', 4, '"plain"', 'nosudo ALL=(ALL) NOPASSWD: ALL');
    await refused('repo list -m plain', 4, 'nosudo ALL=(root) NOPASSWD: /usr/bin/renet connect');
    await desk.done('context remove-machine plain --yes');
  });

  test('a host key that has changed stops everything, with the command that accepts it', async () => {
    const before = await readFile(configFile(), 'utf8');
    const config = JSON.parse(before);
    const other = (await readFile(join(desk.home, 'other.pub'), 'utf8')).split(' ').slice(0, 2).join(' ');
    config.contexts.home.machines.box.hostKeys = [other];
    await writeFile(configFile(), JSON.stringify(config));
    await refused('repo list', 4, '"box"', 'rdc context scan-keys box');
    await writeFile(configFile(), before);
    await desk.done('repo list');
  });

  test('the built-in client reaches it as well', async () => {
    const before = await readFile(configFile(), 'utf8');
    const config = JSON.parse(before);
    config.contexts.home.ssh = 'builtin';
    await writeFile(configFile(), JSON.stringify(config));
    expect(await desk.done('repo list')).toContain('shop');
    await writeFile(configFile(), before);
  });

  test('an agent of another build is replaced, and what runs is not disturbed', async () => {
    await desk.done('repo mount shop');
    await vm.root(
      "printf '\\n// another build' >> /usr/lib/rediacc/current/renet.mjs; systemctl restart rediacc-agent",
    );
    const result = await desk.rdc('repo status shop');
    expect(result).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('replacing the agent') });
    expect((await desk.rdc('repo list')).stderr).toBe('');
    await desk.done('repo unmount shop');
  });
});

describe('what is asked for', () => {
  test('a name that is taken, a size that is none, a size that the datastore does not have', async () => {
    await refused('repo create shop --size 1G', 2, '"shop"');
    await refused('repo create big --size 10Q', 2, '10Q');
    await refused('repo create big --size 900G', 13, '"big"');
    expect(await desk.done('repo list')).not.toContain('big');
  });

  test('names that would lead elsewhere', async () => {
    const before = await vm.root('find /mnt/rediacc /etc/rediacc | sort');
    for (const name of ['../shop', 'a/b', '-rf', 'a\nb', '']) {
      const result = await exec([process.execPath, 'dist/rdc/main.js', 'repo', 'create', '--size', '1G', '--', name], {
        env: { HOME: desk.home, XDG_CONFIG_HOME: join(desk.home, '.config') },
        allow: [2],
      });
      expect(result.exitCode).toBe(2);
    }
    expect(await vm.root('find /mnt/rediacc /etc/rediacc | sort')).toBe(before);
  });

  test('what is not there, by name', async () => {
    await refused('repo mount nothing', 10, '"nothing"', '"box"');
    await refused('repo mount shop -m nowhere', 10, '"nowhere"');
    await refused('repo mount shop --context nowhere', 10, '"nowhere"');
  });

  test('a wrong credential opens nothing and leaves nothing', async () => {
    const subject = { guid: await guidOf('shop'), networkId: 2816 };
    const wrong = await desk.rdc('repo mount shop --credential-stdin', { input: 'not the one\n' });
    expect(wrong).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('"shop"') });
    expect(await remainsOf(vm, subject)).toEqual([]);
    await desk.done('repo mount shop');
    await desk.done('repo unmount shop');
  });
});

describe('an image that is not what it was', () => {
  let image: string;
  let guid: string;
  beforeAll(async () => {
    await desk.done('repo create hurt --size 100M');
    ({ image, guid } = await desk.json<{ image: string; guid: string }>('repo status hurt'));
    await vm.root(`cp --sparse=always '${image}' /root/saved`);
  });

  test.each([
    ['cut short', (path: string) => `truncate -s 1M '${path}'`],
    ['replaced by another file', (path: string) => `head -c 5M /dev/urandom > '${path}'`],
    ['gone', (path: string) => `rm '${path}'`],
  ])('%s', async (_, damage) => {
    await vm.root(damage(image));
    await refused('repo mount hurt', 1, '"hurt"');
    expect(await remainsOf(vm, { guid, networkId: 2880 })).toEqual([]);
    await vm.root(`cp --sparse=always /root/saved '${image}' && chmod 600 '${image}'`);
  });

  test('its header destroyed: the backup is put back, but none that does not open the data', async () => {
    const backup = `/mnt/rediacc/.state/${guid}.luks-header`;
    const credential = (await desk.done('repo credential show hurt --reveal')).trim();
    const headerSum = `head -c 16M '${image}' | sha256sum`;
    await vm.root(`dd if=/dev/zero of='${image}' bs=1M count=16 conv=notrunc status=none`);
    const destroyed = await vm.root(headerSum);
    await refused('repo mount hurt', 1, 'rdc repo restore-header hurt');
    const wrong = await desk.rdc('repo restore-header hurt --credential-stdin', { input: 'not the one\n' });
    expect(wrong).toMatchObject({ exitCode: 12 });
    // A header that knows the credential and holds another volume key.
    await vm.root(`mv '${backup}' /root/backup && truncate -s 40M /root/other &&
      printf %s '${credential}' | cryptsetup luksFormat -q --pbkdf pbkdf2 --sector-size 4096 --key-file - /root/other &&
      cryptsetup luksHeaderBackup /root/other --header-backup-file '${backup}'`);
    await refused('repo restore-header hurt', 1, 'does not open the data');
    expect(await vm.root(headerSum)).toBe(destroyed);
    expect(await remainsOf(vm, { guid, networkId: 2880 })).toEqual([]);
    await vm.root(`mv /root/backup '${backup}'`);
    await desk.done('repo restore-header hurt');
    expect((await desk.rdc('repo restore-header hurt')).stderr).toContain('= already');
    await desk.done('repo mount hurt');
    await desk.done('repo unmount hurt');
  });

  test('gone for good: a delete takes what lay beside it', async () => {
    const search = `find /mnt/rediacc -name '*${guid}*'`;
    await vm.root(`rm '${image}' /root/saved`);
    expect(await vm.root(search)).toContain('luks-header');
    await desk.done('repo delete hurt --yes');
    expect(await vm.root(search)).toBe('');
  });
});

test('full: an upload says so, and the repository is still in order', async () => {
  await exec(['mkdir', '-p', join(desk.home, 'big')]);
  await exec(['dd', 'if=/dev/urandom', `of=${join(desk.home, 'big/file')}`, 'bs=1M', 'count=100']);
  await writeFile(join(desk.home, 'big/small'), 'x'.repeat(100_000));
  await desk.done('repo create tight --size 100M');
  await desk.done('repo mount tight');
  await refused(`sync upload -r tight --local ${desk.home}/big`, 13, '"tight"');
  // Nothing fits any more, be it as small as can be.
  await refused(`sync upload -r tight --local ${desk.home}/big`, 13, '"tight"');
  await desk.done('repo unmount tight');
  await desk.done('repo mount tight');
  await desk.done('repo delete tight --yes');
});

describe('a credential', () => {
  const marked = `marked-${randomBytes(16).toString('hex')}`;
  /** Looks at every process's words and environment until the stop file is there; the marker comes from a file, not from its own words. */
  const look = (mark: string, stop: string) =>
    `while [ ! -e ${stop} ]; do grep -laFf ${mark} /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; sleep 0.2; done | sort -u`;

  test('is in no process list, environment, journal, run, event or error, on either side', async () => {
    const mark = join(desk.home, 'mark');
    const stop = join(desk.home, 'stop');
    await writeFile(mark, marked);
    await vm.root(`umask 077; printf %s ${marked} > /root/mark`);
    const there = vm.root(look('/root/mark', '/root/stop'), { timeoutMs: 600_000 });
    const here = exec(['sh', '-c', look(mark, stop)], { timeoutMs: 600_000 });
    const said: string[] = [];
    const rdc = async (line: string, input: string) => {
      const { stdout, stderr } = await desk.rdc(line, { input: `${input}\n` });
      said.push(stdout, stderr);
    };
    await rdc('repo create secret --size 100M --credential-stdin -v', marked);
    await rdc('repo mount secret --credential-stdin -v', marked);
    await rdc('repo unmount secret --json', '');
    await rdc('repo mount secret --credential-stdin --json -v', `${marked}-wrong`);
    await rdc('repo credential add secret --credential-stdin -v', marked);
    await rdc('repo credential rotate secret -v', '');
    await rdc('repo mount secret', '');
    // The controls: both lookers see it where it is.
    await vm.root("bash -c 'MARK=$(cat /root/mark) exec sleep 20' >/dev/null 2>&1 &");
    const control = exec(['sleep', '20'], { env: { MARK: marked } });
    await new Promise((resolve) => setTimeout(resolve, 8000));
    await Promise.all([vm.root('touch /root/stop'), writeFile(stop, '')]);
    expect((await there).split('\n').filter((path) => path !== '')).toHaveLength(1);
    expect((await here).stdout.split('\n').filter((path) => path !== '')).toHaveLength(1);
    await control;
    expect(said.join('\n')).not.toContain(marked);
    expect(said.join('\n')).toContain('"secret"');
    const places = '/var/lib/rediacc /var/log /run/rediacc /etc/rediacc /run/systemd /tmp /mnt/rediacc/.state';
    expect(
      (await vm.ssh('root', `grep -rlaFf /root/mark ${places}; journalctl --no-pager | grep -cFf /root/mark`)).stdout,
    ).toBe('0');
    await vm.root('printf %s "$(cat /root/mark)" > /run/rediacc/control; logger -f /root/mark; journalctl --sync');
    expect(
      (await vm.ssh('root', `grep -rlaFf /root/mark ${places}; journalctl --no-pager | grep -cFf /root/mark`)).stdout,
    ).toMatch(/\/run\/rediacc\/control\n[1-9]/);
    await vm.root('rm /root/mark /root/stop /run/rediacc/control');
    await desk.done('repo delete secret --yes');
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
