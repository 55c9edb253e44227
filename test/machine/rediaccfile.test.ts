// What stops a run, and that no odd or hostile file crashes, hangs, or runs half without a word: the rules of Rediaccfiles on a real
// machine. What one up of everything tells is in test/long/rediaccfile.test.ts. docs/rediaccfile.md names the tests of both by their titles.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BROKEN, MANUAL_SLOTS, NOTING, ORDINARY } from '../fixtures/rediaccfile/files.ts';
import {
  called,
  closeRules,
  desk,
  guid,
  mountPoint,
  openRules,
  put,
  ran,
  replaceBy,
  said,
  vm,
} from './rules-repository.ts';

beforeAll(openRules);
afterAll(closeRules);

describe('what stops a run', () => {
  test('a prep that fails stops at once, and no up is called', async () => {
    await replaceBy({ ...ORDINARY, 'B/rediaccfile': `${NOTING}\nprep() { note prep; return 2; }\n` });
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(1);
    expect(told.error).toMatchObject({ code: 'FUNCTION_FAILED' });
    expect(told.error.message).toContain('prep() of "rules" (B/rediaccfile) failed: exit code 2');
    expect(await called()).toEqual(['prep', 'prep /B']);
  });

  test('a prep that never ends is ended at --timeout: the run stops, and no up is called', async () => {
    await replaceBy({ Rediaccfile: `${NOTING}\nprep() { note prep; sleep 600; }\n`, 'B/Rediaccfile': NOTING });
    const { exitCode, told } = await ran('repo up rules --timeout 3s');
    expect(exitCode).toBe(1);
    expect(told.error.message).toContain('prep() of "rules" (Rediaccfile) failed: it ran longer than 3s');
    expect(await called()).toEqual(['prep']);
  });

  test('--prep-only calls every prep and no up', async () => {
    await replaceBy({ Rediaccfile: NOTING, 'backend/Rediaccfile': NOTING });
    expect(await ran('repo up rules --prep-only')).toMatchObject({ exitCode: 0, told: { outcome: 'done' } });
    expect(await called()).toEqual(['prep', 'prep /backend']);
  });

  test('--only calls the named directories, --changed those whose files are others', async () => {
    await desk.done('repo down rules');
    await replaceBy({ 'a/Rediaccfile': NOTING, 'b/Rediaccfile': NOTING });
    const calls = async (options: string) => {
      await vm.root(`rm -f ${mountPoint}/trace`);
      const { exitCode } = await ran(`repo up rules ${options}`);
      return [exitCode, ...(await called())];
    };
    expect(await calls('--only b')).toEqual([0, 'prep /b', 'up /b']);
    const status = await desk.json<{ state: string; lastUp: { reason: string } }>('repo status rules');
    expect([status.state, status.lastUp.reason]).toEqual(['partial', 'not every directory was called']);
    expect(await calls('--changed')).toEqual([0, 'prep /a', 'up /a']);
    await put({ 'b/app/main': 'new' });
    expect(await calls('--changed')).toEqual([0, 'prep /b', 'up /b']);
    expect(await calls('--changed')).toEqual([0]);
    expect(await calls('--only c')).toEqual([10]);
    expect((await desk.json<{ state: string }>('repo status rules')).state).toBe('up');
  });

  test('an up of the root that fails stops; up sees what prep wrote; the slots of the manual have its addresses', async () => {
    const root = `${NOTING}
      prep() { note prep; printf 'services: {late: {image: busybox}}' >backend/compose.yaml; }
      up() { note up; echo "$API_IP $POSTGRES_IP $REDIS_IP late: $LATE_IP"; return 6; }\n`;
    await replaceBy({ Rediaccfile: root, 'backend/Rediaccfile': NOTING, '.rediacc.json': MANUAL_SLOTS });
    const { exitCode, told, stderr } = await ran('repo up rules');
    expect(exitCode).toBe(1);
    expect(told.error.message).toContain('up() of "rules" (Rediaccfile) failed: exit code 6');
    expect(said(stderr, 'root up')).toEqual(['127.0.11.2 127.0.11.3 127.0.11.4 late: 127.0.11.5']);
    expect(await called()).toEqual(['prep', 'prep /backend', 'up']);
  });
});

describe('refused before anything runs', () => {
  const ODD: readonly [kind: string, make: string, words: string][] = [
    [
      'two names in one directory',
      'touch x/Rediaccfile x/rediaccfile',
      'x has two Rediaccfiles: Rediaccfile and rediaccfile',
    ],
    ['a directory', 'mkdir x/Rediaccfile', 'is a directory, no file'],
    ['a dangling link', 'ln -s gone x/Rediaccfile', 'is a link that leads to nothing'],
    ['a FIFO', 'mkfifo x/Rediaccfile', 'is a fifo, no file'],
    ['a link out of the mount', 'ln -s /etc/hostname x/Rediaccfile', 'leads out of the repository'],
    [
      'a link to a directory out of the mount',
      'rmdir x; mkdir -p /srv/out; touch /srv/out/Rediaccfile; ln -s /srv/out x',
      'leads out of the repository',
    ],
  ];

  test.each(ODD)('a Rediaccfile that is %s', async (_kind, make, words) => {
    await replaceBy(ORDINARY);
    await vm.root(`cd ${mountPoint} && mkdir x && { ${make}; }`);
    const { exitCode, told } = await ran('repo validate rules');
    expect(exitCode).toBe(1);
    expect(told.findings).toMatchObject([{ severity: 'error', message: expect.stringContaining(words) }]);
  });

  test('up refuses such a file with exit code 2, and calls nothing', async () => {
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    expect(told.error.message).toContain('leads out of the repository');
    expect(await called()).toEqual([]);
  });

  test('broken texts, .env files and compose files are all told at once, with file and line', async () => {
    await replaceBy({ ...ORDINARY, ...BROKEN.rediaccfiles, ...BROKEN.settings, ...BROKEN.composeFiles });
    await vm.root(`cd ${mountPoint} && mkdir large && head -c 10M /dev/zero | tr '\\0' x >large/Rediaccfile`);
    const { exitCode, told } = await ran('repo validate rules');
    expect(exitCode).toBe(1);
    const errors = told.findings.filter(({ severity }) => severity === 'error');
    expect(errors.map(({ file, line }) => (line === undefined ? file : `${file}:${line}`)).toSorted()).toEqual(
      expect.arrayContaining(Object.keys(BROKEN.words)),
    );
    for (const [place, words] of Object.entries(BROKEN.words)) {
      const messages = errors.filter(({ file, line }) => place === file || place === `${file}:${line}`);
      expect(messages.map(({ message }) => message).join('\n'), place).toContain(words);
    }
  });

  test('up refuses all broken Rediaccfiles with exit code 2, and calls nothing', async () => {
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    for (const path of [...Object.keys(BROKEN.rediaccfiles), 'large/Rediaccfile']) {
      expect(told.error.message).toContain(path);
    }
    expect(await called()).toEqual([]);
  });

  test.each([
    ['many', 'a 62nd service', 'many/docker-compose.yml:63: service "s61" is one too many'],
    ['names', 'names that collide', 'services "a-b" (names/docker-compose.yml:2) and "a_b"'],
    ['bomb', 'a YAML bomb', 'bomb/compose.yml:'],
  ])('up refuses the directory "%s", %s, by name and calls nothing', async (directory, _what, words) => {
    const files = Object.entries(BROKEN.composeFiles).filter(([path]) => path.startsWith(directory));
    await replaceBy({ ...ORDINARY, ...Object.fromEntries(files) });
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    expect(told.error.message).toContain(words);
    expect(await called()).toEqual([]);
  });

  test('a .env that sets a name of the contract, PATH or LD_PRELOAD is refused by up as well', async () => {
    await replaceBy({ ...ORDINARY, 'env/Rediaccfile': '', 'env/.env': 'A=1\nLD_PRELOAD=/x\n' });
    const { exitCode, told } = await ran('repo up rules');
    expect(exitCode).toBe(2);
    expect(told.error.message).toContain('env/.env: line 2 sets LD_PRELOAD');
    expect(await called()).toEqual([]);
  });
});

test('the unit files that are installed are clean to systemd-analyze; control: a broken one is not', async () => {
  const verify = (paths: string) => vm.ssh('root', `SYSTEMD_LOG_COLOR=0 systemd-analyze verify ${paths} 2>&1`);
  const installed = (await vm.root('ls -d /etc/systemd/system/rediacc*.* | grep -v "[.]d$"')).split('\n');
  expect(installed.length).toBeGreaterThanOrEqual(9);
  // A template is looked at as an instance.
  const paths = installed.map((path) => path.replace('@.', `@${guid}.`)).join(' ');
  const clean = await verify(paths);
  expect(clean.stdout.split('\n').filter((line) => line.includes('rediacc'))).toEqual([]);
  expect(clean.exitCode).toBe(0);
  await vm.root(
    "sed 's/^ExecStart=/ExecStrat=/' /etc/systemd/system/rediacc-agent.service >/tmp/rediacc-broken.service",
  );
  const broken = await verify('/tmp/rediacc-broken.service');
  expect(broken.stdout).toContain("Unknown key 'ExecStrat' in section [Service]");
});
