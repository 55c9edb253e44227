// Which files are found and which are refused, on a real file system with real bash.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { findFaults, refuseFaults } from '../../src/agent/check-rediaccfiles.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { readSettings } from '../../src/lifecycle/env-settings.ts';
import { findRediaccfiles, labelOf } from '../../src/lifecycle/rediaccfile.ts';
import { RdcError } from '../../src/protocol/errors.ts';

const system = createLinuxSystem();
let mount: string;
let outside: string;
beforeEach(() => {
  mount = mkdtempSync(`${tmpdir()}/rdc-mount-`);
  outside = mkdtempSync(`${tmpdir()}/rdc-outside-`);
});
afterEach(() => {
  for (const path of [mount, outside]) rmSync(path, { recursive: true, force: true });
});

function put(name: string | Buffer, text: string | Buffer = 'up() { :; }\n'): void {
  const path = Buffer.concat([Buffer.from(`${mount}/`), Buffer.from(name as string)]);
  mkdirSync(path.subarray(0, path.lastIndexOf(0x2f)), { recursive: true });
  writeFileSync(path, text);
}
const find = () => findRediaccfiles(system, mount);
const found = async () =>
  (await find()).map(({ directory, file }) => (directory === '' ? file : `${directory}/${file}`));

describe('found are', () => {
  it('the root and first-level directories in byte order, in any letter case; nothing hidden or deeper', async () => {
    for (const name of ['RediaccFile', 'b/REDIACCFILE', 'B/rediaccfile', 'a/Rediaccfile']) put(name);
    for (const name of ['.git/Rediaccfile', 'a/deep/Rediaccfile', 'c/Rediaccfile.sh', 'd/xRediaccfile']) put(name);
    expect(await found()).toEqual(['RediaccFile', 'B/rediaccfile', 'a/Rediaccfile', 'b/REDIACCFILE']);
  });

  it('directories of any name, in the order of their bytes and not of UTF-16 or a locale', async () => {
    const names = ['-x', 'a b', 'a"b', "it's", 'li\nne', 'd'.repeat(255), 'é', '\uFF01', '😀'];
    for (const name of names) put(`${name}/Rediaccfile`);
    const order = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect((await find()).map(({ directory }) => directory)).toEqual(order);
    // Control: the two last would be the other way round by UTF-16.
    expect(order.toSorted()).not.toEqual(order);
  });

  it('links that stay inside of the mount', async () => {
    put('shared/up.sh');
    mkdirSync(`${mount}/api`);
    symlinkSync('../shared/up.sh', `${mount}/api/Rediaccfile`);
    put('releases/3/Rediaccfile');
    symlinkSync('releases/3', `${mount}/current`);
    expect(await found()).toEqual(['api/Rediaccfile', 'current/Rediaccfile']);
  });

  it('no links without a Rediaccfile behind them: dangling, in circles, to a file, or out of the mount', async () => {
    symlinkSync('nowhere', `${mount}/dangling`);
    symlinkSync('circle', `${mount}/circle`);
    symlinkSync(outside, `${mount}/out`);
    put('file', 'x');
    symlinkSync('file', `${mount}/link`);
    expect(await found()).toEqual([]);
  });
});

describe('refused by path', () => {
  const refused = async (...words: string[]) => {
    for (const word of words) await expect(find()).rejects.toThrow(word);
    await expect(find()).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  };

  it('two in one directory', async () => {
    put('api/Rediaccfile');
    put('api/rediaccfile');
    await refused(`api has two Rediaccfiles: Rediaccfile and rediaccfile`);
  });

  test.each<[kind: string, make: (path: string) => void]>([
    ['is a directory, no file', (path) => void mkdirSync(path)],
    ['is a fifo, no file', (path) => void execFileSync('mkfifo', [path])],
    ['is a character special file, no file', (path) => void execFileSync('mknod', [path, 'c', '1', '3'])],
    ['is a link that leads to nothing', (path) => symlinkSync('gone', path)],
    ['is a link that leads to nothing', (path) => symlinkSync('Rediaccfile', path)],
    ['is a link that leads out of the repository', (path) => symlinkSync('/etc/hostname', path)],
    ['is a link to a directory, no file', (path) => symlinkSync('.', path)],
  ])('one that %s', async (kind, make) => {
    mkdirSync(`${mount}/api`);
    make(`${mount}/api/Rediaccfile`);
    await refused(`api/Rediaccfile ${kind}`);
  });

  it('one that is a socket', async () => {
    const server = createServer().listen(`${mount}/Rediaccfile`);
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      await refused(`Rediaccfile is a socket, no file`);
    } finally {
      server.close();
    }
  });

  it('a link to a directory with one outside, also when the path only begins like the mount', async () => {
    writeFileSync(`${outside}/Rediaccfile`, '');
    symlinkSync(outside, `${mount}/out`);
    await refused(`the link out leads out of the repository`);
    const beside = `${mount}-beside`;
    mkdirSync(beside);
    try {
      writeFileSync(`${beside}/Rediaccfile`, '');
      rmSync(`${mount}/out`);
      symlinkSync(beside, `${mount}/out`);
      await refused(`the link out leads out of the repository`);
    } finally {
      rmSync(beside, { recursive: true });
    }
  });

  it('a second name of a directory that is called already; control: of one that is hidden or deeper', async () => {
    put('release/Rediaccfile');
    symlinkSync('release', `${mount}/current`);
    await refused(`the link current leads to "release": its Rediaccfile would be called twice`);
    rmSync(`${mount}/release`, { recursive: true });
    for (const directory of ['.release', 'releases/3']) {
      put(`${directory}/Rediaccfile`);
      rmSync(`${mount}/current`);
      symlinkSync(directory, `${mount}/current`);
      expect(await found()).toEqual(['current/Rediaccfile']);
    }
  });

  it('a directory whose name is no UTF-8; control: without a Rediaccfile, or hidden, it may be called so', async () => {
    put(Buffer.from('caf\xe9/data', 'latin1'));
    put(Buffer.from('.caf\xe9/Rediaccfile', 'latin1'));
    put('caf\uFFFD/Rediaccfile');
    expect(await found()).toEqual(['caf\uFFFD/Rediaccfile']);
    put(Buffer.from('caf\xe9/Rediaccfile', 'latin1'));
    await refused("$'./caf\\xe9/Rediaccfile' is no UTF-8");
  });
});

it('a label is one line, and that of a directory "root" is not the root', () => {
  const labels = ['', 'root', 'li\nne\x1b[2J', 'ü b'].map((directory) => labelOf({ directory }));
  expect(labels).toEqual(['root', 'root/', 'li\\nne\\u001b[2J', 'ü b']);
});

describe('before anything runs', () => {
  const faults = async () => [...(await findFaults(system, mount, await find())).values()];

  test.each<[what: string, text: string | Buffer, words: string | undefined]>([
    ['a syntax error', 'up() {\n  if true; then\n}\n', 'api/Rediaccfile: line 3: syntax error'],
    ['a quote that is not closed', 'up() { echo "x; }\n', 'api/Rediaccfile: line '],
    [
      'CR LF',
      'up() {\n  :\r\n}\r\n',
      "api/Rediaccfile: line 2: ends with CR LF, as on Windows; to mend it: sed -i 's/\\r$//' api/Rediaccfile",
    ],
    ['a byte order mark', '\uFEFFup() { :; }\n', "to remove it: sed -i '1s/^\\xEF\\xBB\\xBF//' api/Rediaccfile"],
    ['a NUL byte', 'up() { :; }\n\n# \0\n', 'api/Rediaccfile: line 3: has a NUL byte'],
    ['UTF-16', Buffer.from('up() { :; }\n', 'utf16le'), 'api/Rediaccfile: line 1: has a NUL byte'],
    ['10 MB', `# ${'x'.repeat(10 * 1024 ** 2)}\n`, 'api/Rediaccfile: 10.0M are more than the 4M'],
    ['an empty file', '', undefined],
    ['Latin-1 in a comment', Buffer.from('# caf\xe9\nup() { :; }\n', 'latin1'), undefined],
    ['extglob, which bash -n does not switch on', 'shopt -s extglob\nup() { rm -f !(keep); }\n', undefined],
    ['extglob that is not switched on', 'up() { rm -f !(keep); }\n', 'api/Rediaccfile: line 1: syntax error'],
  ])('%s', async (_what, text, words) => {
    put('api/Rediaccfile', text);
    expect(await faults()).toEqual(words === undefined ? [] : [expect.stringContaining(words)]);
  });

  it('one that crashes bash is told, and the others are judged all the same', async () => {
    put('a/Rediaccfile', '$('.repeat(20_000));
    put('b/Rediaccfile', 'up() { :; }\n');
    put('c/Rediaccfile', 'up() { fi; }\n');
    expect(await faults()).toEqual([
      expect.stringMatching(/^a\/Rediaccfile: .*SIGSEGV/),
      expect.stringContaining('c/Rediaccfile: line 1: syntax error'),
    ]);
  });

  it('where the one bash for all files never comes to its end, each file is read on its own', async () => {
    for (const name of ['a', 'b', 'c']) put(`${name}/Rediaccfile`, name === 'a' ? 'up() { :; }\n' : 'up() { fi; }\n');
    const starts: string[][] = [];
    const hanging: typeof system = {
      ...system,
      async run(one, onOutput) {
        starts.push([...one.args]);
        if (!one.args.includes('-c')) return system.run(one, onOutput);
        onOutput?.('stdout', Buffer.from('0\n'));
        throw new RdcError('COMMAND_FAILED', 'took longer than 20 s');
      },
    };
    const found = await findFaults(hanging, mount, await find());
    expect([...found.values()]).toEqual([
      expect.stringContaining('b/Rediaccfile: line 1: syntax error'),
      expect.stringContaining('c/Rediaccfile: line 1: syntax error'),
    ]);
    // What has been answered is not asked again.
    expect(starts.map((args) => args.at(-1))).toEqual(['./c/Rediaccfile', './b/Rediaccfile', './c/Rediaccfile']);
  });

  it('sixty good files cost one start of bash', async () => {
    for (let index = 0; index < 60; index++) put(`d${index}/Rediaccfile`);
    let starts = 0;
    const counting: typeof system = {
      ...system,
      run: (...words) => {
        starts++;
        return system.run(...words);
      },
    };
    expect((await findFaults(counting, mount, await find())).size).toBe(0);
    expect(starts).toBe(1);
  });

  it('what is to mend a file mends it', async () => {
    put('a b/Rediaccfile', '\uFEFFup() { :; }\r\n');
    for (let turn = 0; turn < 2; turn++) {
      const [fault = ''] = await faults();
      execFileSync('bash', ['-c', fault.slice(fault.indexOf('sed -i'))], { cwd: mount });
    }
    expect(await faults()).toEqual([]);
  });

  it('all files are told of in one error, and nothing of them is carried out', async () => {
    put('Rediaccfile', `touch ${mount}/ran\nup() { fi; }\n`);
    put('api/Rediaccfile', 'up() { \r\n}\n');
    put('web/Rediaccfile', `$(touch ${mount}/ran)\n`);
    const check = async () => refuseFaults('shop', await findFaults(system, mount, await find()));
    await expect(check()).rejects.toThrow(
      /^nothing of "shop" was started: Rediaccfile: line 2: [\s\S]*api\/Rediaccfile: line 1: /,
    );
    expect(await system.stat(`${mount}/ran`)).toBeUndefined();
    // Control: carried out, it leaves the file.
    execFileSync('bash', [`${mount}/web/Rediaccfile`]);
    expect(await system.stat(`${mount}/ran`)).toBeDefined();
  });
});

describe('a .env', () => {
  const api = { directory: 'api', file: 'Rediaccfile', path: '' };
  const read = () => readSettings(system, mount, { ...api, path: `${mount}/api` }, { API_IP: '127.0.11.2', LANG: 'C' });

  test.each([
    ...['REPOSITORY_PATH', 'REPOSITORY_X', 'REDIACC_NETWORK_ID', 'DOCKER_HOST', 'DOCKER_CONFIG', 'HOME', 'API_IP'],
    ...[
      'PATH',
      'LD_PRELOAD',
      'LD_LIBRARY_PATH',
      'BASH_ENV',
      'ENV',
      'BASH_FUNC_x',
      'IFS',
      'SHELLOPTS',
      'BASHOPTS',
      'PS4',
    ],
  ])('that sets %s is refused with file and line, and without the value', async (name) => {
    put('api/.env', `A=1\n${name}=hunter2\n`);
    await expect(read()).rejects.toThrow(`api/.env: line 2 sets ${name}, which`);
    await expect(read()).rejects.not.toThrow('hunter2');
  });

  it('may set anything else; what bash cannot have is left to compose', async () => {
    put('api/.env', 'LANG=de\nWEB_IP=1.2.3.4\nPATHS=x\nUID=1000\nmy.key=2\n1X=3\n');
    expect(Object.fromEntries(await read())).toEqual({ LANG: 'de', WEB_IP: '1.2.3.4', PATHS: 'x' });
  });

  it('that is not there, or is a directory, sets nothing', async () => {
    put('api/Rediaccfile');
    expect((await read()).size).toBe(0);
    mkdirSync(`${mount}/api/.env`);
    expect((await read()).size).toBe(0);
  });

  it('that leads out of the repository, is a FIFO, or too large is refused', async () => {
    put('api/Rediaccfile');
    symlinkSync('/etc/hostname', `${mount}/api/.env`);
    await expect(read()).rejects.toThrow('api/.env is a link that leads out of the repository');
    rmSync(`${mount}/api/.env`);
    execFileSync('mkfifo', [`${mount}/api/.env`]);
    await expect(read()).rejects.toThrow('api/.env is a fifo, no file');
    rmSync(`${mount}/api/.env`);
    put('api/.env', `A=${'x'.repeat(70_000)}`);
    await expect(read()).rejects.toThrow('api/.env is larger than the 64K');
  });
});
