// What makes a copy a repository of its own, over real LUKS headers and a real ext4: keys, UUIDs, and containers that do
// not start by themselves. No image is ever left that neither key opens.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { renewFilesystem } from '../../src/agent/fork-filesystem.ts';
import { replaceKeys } from '../../src/agent/fork-keys.ts';
import { holdContainers, releaseContainers } from '../../src/agent/held-containers.ts';
import { repoTarget } from '../../src/agent/layout.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import type { System } from '../../src/lifecycle/system.ts';
import type { RepoTarget } from '../../src/lifecycle/target.ts';
import type { Guid, NetworkId, RepoName } from '../../src/protocol/ids.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';

const PARENT = '11111111-1111-4111-8111-111111111111';
const FORK = '22222222-2222-4222-8222-222222222222' as Guid;
const OLD = new Secret("the parent's");
const NEXT = new Secret("the fork's");
const CHEAP = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];

let datastore: string;
let target: RepoTarget;
const system = createLinuxSystem();

beforeEach(() => {
  datastore = mkdtempSync(join(tmpdir(), 'rdc-fork-'));
  for (const name of ['.state', 'repositories']) mkdirSync(join(datastore, name));
  const identity = { guid: FORK, name: 'try' as RepoName, networkId: 2880 as NetworkId, linkIndex: 1 };
  target = repoTarget(datastore, identity);
});
afterEach(() => rmSync(datastore, { recursive: true }));

const cryptsetup = (args: string[], input = '') =>
  execFileSync('cryptsetup', args, { input, stdio: ['pipe', 'pipe', 'pipe'] }).toString();

function opens(file: string, key: Secret): boolean {
  try {
    cryptsetup(['open', '--test-passphrase', '--key-file', '-', file], key.reveal());
    return true;
  } catch {
    return false;
  }
}

describe('keys', () => {
  const parent = () => join(datastore, 'parent');
  beforeEach(() => {
    writeFileSync(parent(), '');
    truncateSync(parent(), 32 * 1024 ** 2);
    const format = ['luksFormat', '-q', '--type', 'luks2', ...CHEAP, '--uuid', PARENT, '--key-file', '-', parent()];
    cryptsetup(format, OLD.reveal());
    // The machine's own key, and what a rotation left behind.
    for (const slot of ['1', '7']) {
      writeFileSync(join(datastore, `key-${slot}`), `key ${slot}`);
      const add = ['luksAddKey', '-q', ...CHEAP, '--key-slot', slot, '--key-file', '-', parent()];
      cryptsetup([...add, join(datastore, `key-${slot}`)], OLD.reveal());
    }
    copyFileSync(parent(), target.paths.image);
  });

  test("the fork's opens it, none of the parent's does, and the parent is as it was", async () => {
    const before = readFileSync(parent());
    await replaceKeys(system, target, { old: OLD, next: NEXT, kdf: 'random' });
    for (const file of [target.paths.image, target.paths.headerBackup]) {
      expect(opens(file, NEXT)).toBe(true);
      for (const key of [OLD, new Secret('key 1'), new Secret('key 7')]) {
        expect(opens(file, key)).toBe(false);
        // Control: they open what they were made for.
        expect(opens(parent(), key)).toBe(true);
      }
    }
    const metadata = JSON.parse(cryptsetup(['luksDump', '--dump-json-metadata', target.paths.image]));
    expect(Object.keys(metadata.keyslots)).toEqual(['0']);
    expect(cryptsetup(['luksUUID', target.paths.image]).trim()).toBe(FORK);
    expect(readFileSync(parent()).equals(before)).toBe(true);
  });

  test('cut off after any command, one of the two opens the copy', async () => {
    for (let allowed = 0; ; allowed += 1) {
      copyFileSync(parent(), target.paths.image);
      rmSync(target.paths.headerBackup, { force: true });
      const end = await replaceKeys(cutOff(allowed), target, { old: OLD, next: NEXT, kdf: 'random' }).catch(
        () => 'cut',
      );
      expect(opens(target.paths.image, OLD) || opens(target.paths.image, NEXT), `after ${allowed}`).toBe(true);
      if (end !== 'cut') break;
      expect(allowed).toBeLessThan(50);
    }
  });
});

function cutOff(allowed: number): System {
  let left = allowed;
  return {
    ...system,
    run: (command) => {
      left -= 1;
      return left < 0 ? Promise.reject(new Error('cut off')) : system.run(command);
    },
  };
}

describe('the filesystem', () => {
  const dump = () => execFileSync('tune2fs', ['-l', target.paths.mapperDevice]).toString();
  test.each([
    ['with the seed of its checksums in the superblock', 'metadata_csum,metadata_csum_seed'],
    ['without', 'metadata_csum,^metadata_csum_seed'],
    ['without checksums', '^metadata_csum'],
  ])('has a UUID of its own: %s', async (_, features) => {
    const device = join(datastore, 'device');
    target = { ...target, paths: { ...target.paths, mapperDevice: device } };
    writeFileSync(device, '');
    truncateSync(device, 64 * 1024 ** 2);
    execFileSync('mkfs.ext4', ['-q', '-O', features, '-U', PARENT, device]);
    expect(dump()).toContain(PARENT);
    await renewFilesystem(system, target);
    expect(dump()).toContain(FORK);
    execFileSync('e2fsck', ['-fn', device], { stdio: 'pipe' });
  });

  test('one with errors is refused', async () => {
    const device = join(datastore, 'device');
    target = { ...target, paths: { ...target.paths, mapperDevice: device } };
    writeFileSync(device, 'no filesystem');
    await expect(renewFilesystem(system, target)).rejects.toMatchObject({ code: 'VOLUME_DAMAGED' });
  });
});

describe('containers', () => {
  const id = (letter: string) => letter.repeat(64);
  const configOf = (container: string) => join(target.paths.dockerData, 'containers', container, 'hostconfig.json');
  const policyOf = (container: string) => JSON.parse(readFileSync(configOf(container), 'utf8')).RestartPolicy.Name;
  const put = (container: string, policy: Record<string, unknown>) => {
    mkdirSync(join(target.paths.dockerData, 'containers', container), { recursive: true });
    writeFileSync(configOf(container), JSON.stringify({ Binds: ['/a:/b'], RestartPolicy: policy }));
  };
  const POLICIES = { a: 'always', b: 'unless-stopped', c: 'no', d: 'on-failure' };
  beforeEach(() => {
    for (const [letter, Name] of Object.entries(POLICIES))
      put(id(letter), { Name, MaximumRetryCount: letter === 'd' ? 3 : 0 });
  });

  test('are held, and get their policies back when the daemon runs', async () => {
    expect(await holdContainers(system, target)).toBe(3);
    expect(Object.keys(POLICIES).map((letter) => policyOf(id(letter)))).toEqual(['no', 'no', 'no', 'no']);
    expect(JSON.parse(readFileSync(configOf(id('a')), 'utf8')).Binds).toEqual(['/a:/b']);
    // A copy of a copy that was never started.
    expect(await holdContainers(system, target)).toBe(3);
    const note = join(target.paths.internal, 'held-containers.json');
    const docker = scriptedSystem(({ args }) => ({ stdout: args.includes('ps') ? `${id('a')}\n${id('d')}\n` : '' }), {
      [note]: readFileSync(note, 'utf8'),
    });
    await releaseContainers(docker, target);
    expect(docker.commands.map(({ args }) => args.slice(2).join(' '))).toEqual([
      'ps --all --quiet --no-trunc',
      `update --restart=always ${id('a')}`,
      `update --restart=on-failure:3 ${id('d')}`,
    ]);
    expect(docker.files.size).toBe(0);
    await releaseContainers(docker, target);
    expect(docker.commands).toHaveLength(3);
  });

  test('nothing is written through links, and what is no container is left alone', async () => {
    const outside = join(datastore, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'hostconfig.json'), '{"RestartPolicy":{"Name":"always"}}');
    const before = readFileSync(join(outside, 'hostconfig.json'), 'utf8');
    symlinkSync(outside, join(target.paths.dockerData, 'containers', id('e')));
    put('no-id', { Name: 'always' });
    mkdirSync(join(target.paths.dockerData, 'containers', id('f')));
    symlinkSync(join(outside, 'hostconfig.json'), configOf(id('f')));
    put(id('9'), {});
    writeFileSync(configOf(id('9')), '{ torn');
    expect(await holdContainers(system, target)).toBe(3);
    expect(readFileSync(join(outside, 'hostconfig.json'), 'utf8')).toBe(before);
    expect(policyOf('no-id')).toBe('always');
    expect(readFileSync(configOf(id('9')), 'utf8')).toBe('{ torn');
  });

  test('without any, nothing is written', async () => {
    rmSync(target.paths.dockerData, { recursive: true });
    expect(await holdContainers(system, target)).toBe(0);
    symlinkSync(datastore, target.paths.dockerData);
    expect(await holdContainers(system, target)).toBe(0);
  });
});
