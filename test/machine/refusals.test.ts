// What goes wrong on a real machine: each time a clear error by name, the right exit code, and nothing changed or lost.
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
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

  test('its header backup lost, or not told of a key that a person removed: doctor says so, the next mount makes it anew', async () => {
    const backup = `/mnt/rediacc/.state/${guid}.luks-header`;
    const key = (await desk.done('repo credential show hurt --reveal')).trim();
    const given = `printf %s '${key}' | cryptsetup`;
    const person = 'printf %s "of a person" | cryptsetup';
    const doctor = async () => (await desk.rdc('machine doctor box')).stdout;
    const inOrder = 'of each there is a backup';
    expect(await doctor()).toContain(inOrder);

    await vm.root(`rm '${backup}'`);
    expect(await doctor()).toContain('there is no backup of the LUKS header of "hurt"');
    expect((await desk.rdc('repo mount hurt')).stderr).toContain('was missing and was renewed');
    expect(await doctor()).toContain(inOrder);
    await desk.done('repo unmount hurt');

    await vm.root(
      `printf %s 'of a person' > /root/person && ${given} luksAddKey -q --pbkdf pbkdf2 --key-slot 3 --key-file - '${image}' /root/person`,
    );
    expect((await desk.rdc('repo mount hurt')).stderr).toContain('was of an earlier state of it and was renewed');
    await desk.done('repo unmount hurt');
    const opensByBackup = `${person} open --test-passphrase --key-file - --header '${backup}' '${image}'`;
    await vm.root(opensByBackup);
    await vm.root(`${given} luksKillSlot -q --key-file - '${image}' 3`);
    expect(await doctor()).toContain('is of an earlier state of it');
    await desk.done('repo mount hurt');
    await desk.done('repo unmount hurt');
    expect(await vm.root(`! ${opensByBackup} && echo no`)).toBe('no');
    expect((await desk.rdc('repo mount hurt')).stderr).not.toContain('header');
    await desk.done('repo unmount hurt');
  });

  test('made anew over an open volume with the same credential: the last header of its data is kept, and put back', async () => {
    const backup = `/mnt/rediacc/.state/${guid}.luks-header`;
    const key = (await desk.done('repo credential show hurt --reveal')).trim();
    await desk.done('repo mount hurt');
    const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status hurt');
    await vm.root(`echo kept > '${mountPoint}/kept'`);
    const sum = await vm.root(`sha256sum < '${backup}'`);
    await vm.root(`printf %s '${key}' | cryptsetup luksFormat -q --pbkdf pbkdf2 --key-file - '${image}'`);
    const told = 'the LUKS header of "hurt" and its backup do not belong together';
    expect((await desk.rdc('machine doctor box')).stdout).toContain(told);
    expect((await desk.rdc('repo mount hurt')).stderr).toContain(told);
    expect(await vm.root(`sha256sum < '${backup}'`)).toBe(sum);
    await desk.done('repo unmount hurt');
    await refused('repo mount hurt', 1, '"hurt"', 'rdc repo restore-header hurt');
    expect(await vm.root(`sha256sum < '${backup}'`)).toBe(sum);
    await desk.done('repo restore-header hurt');
    await desk.done('repo mount hurt');
    expect(await vm.root(`cat '${mountPoint}/kept'`)).toBe('kept');
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
});

describe('a repository that somebody else is changing', () => {
  let other: Desk;
  afterAll(() => other?.destroy());

  test('from another workstation, as another user: who, what, since when and how to follow, or it waits its turn; others go on', async () => {
    other = await openDesk(vm);
    await other.done('context create-local theirs --ssh-key ~/.ssh/id_ed25519');
    await other.done(`context add-machine server --ip ${vm.sshHost} --user root --port ${vm.sshPort}`);
    await desk.done('repo mount shop');
    const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status shop');
    // The nested call must not wait for the run that it is part of.
    const functions =
      'up() { renet compose -- config; touch begun; until [ -e go ]; do sleep 0.2; done; rm begun go; }\n';
    await vm.root(`cd ${mountPoint}; cat >Rediaccfile; echo 'services: {}' >compose.yml`, { input: functions });
    const first = desk.start('repo up shop');
    await vm.root(`until [ -e ${mountPoint}/begun ]; do sleep 0.2; done`);
    const busy = await other.rdc('repo down shop --unmount');
    expect(busy.exitCode, busy.stderr).toBe(11);
    const [, run = ''] = /hint: rdc run attach (\S+) -m server$/m.exec(busy.stderr) ?? [];
    expect(busy.stderr).toMatch(
      new RegExp(`"shop" is being changed since \\d\\d:\\d\\d by \\S+@\\S+ \\(.*up.*, run ${run}\\)`),
    );
    // Control: another one is free meanwhile.
    await other.done('repo create theirs --size 64M');
    await other.done('repo delete theirs --yes');
    const waiting = other.start('repo down shop --unmount --wait=5m');
    await expect.poll(waiting.said, { timeout: 60_000 }).toContain(`follow it: rdc run attach ${run} -m server`);
    const attached = other.start(`run attach ${run}`);
    await vm.root(`touch ${mountPoint}/go`);
    expect([await first.ended, await attached.ended, await waiting.ended], waiting.said()).toEqual([0, 0, 0]);
    expect(await desk.json('repo status shop')).toMatchObject({ state: 'closed' });
  });

  test('in the background, and cancelled: its whole tree of processes ends, the run says so, and the next command converges', async () => {
    await desk.done('repo mount shop');
    const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status shop');
    // One that ends by itself, one that does not listen, one that has left its session.
    const functions = `up() {
      [ -e calm ] && return
      sleep 98761 & (trap '' TERM HUP INT; sleep 98762; sleep 98762) & setsid sleep 98763 &
      touch begun; wait
    }
    down() { :; }
`;
    await vm.root(`cat >${mountPoint}/Rediaccfile`, { input: functions });
    const run = (await desk.done('repo up shop --detach')).trim();
    await vm.root(`until [ -e ${mountPoint}/begun ]; do sleep 0.2; done`);
    const tree = async () =>
      (await vm.ssh('root', "pgrep -x -f 'sleep 9876[123]'")).stdout.trim().split('\n').filter(Boolean);
    // Control: they are seen.
    await expect.poll(async () => (await tree()).length, { timeout: 60_000 }).toBe(3);
    await other.done(`run cancel ${run} -m server`);
    expect(await tree()).toEqual([]);
    expect(await desk.done('run list')).toMatch(new RegExp(`${run}.*cancelled`));
    expect((await desk.rdc(`run attach ${run}`)).exitCode).not.toBe(0);
    expect(await desk.json('repo status shop')).toMatchObject({ state: 'failed' });
    await vm.root(`touch ${mountPoint}/calm`);
    await desk.done('repo up shop');
    expect(await desk.json('repo status shop')).toMatchObject({ state: 'up' });
    await desk.done('repo down shop --unmount');
  });
});
