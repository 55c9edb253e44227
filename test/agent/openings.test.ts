// Second openings of an image, over real loop devices: found by what the file is, whatever it is called. It needs root.
import { execFileSync, spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, realpathSync, truncateSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { repoTarget } from '../../src/agent/layout.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import {
  describeForeign,
  findOpenings,
  foreignOpenings,
  majorMinor,
  type Opening,
  refuseSecondOpening,
} from '../../src/lifecycle/openings.ts';
import type { NetworkId, RepoName } from '../../src/protocol/ids.ts';
import { GUID, shopTarget } from '../helpers/target.ts';
import { temporaryDirectory } from './harness.ts';

const attached: string[] = [];
afterEach(() => {
  for (const device of attached.splice(0)) spawnSync('losetup', ['--detach', device]);
});

function attach(file: string): string {
  const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  attached.push(device);
  return device;
}

async function world() {
  const datastore = realpathSync(await temporaryDirectory());
  mkdirSync(`${datastore}/repositories`);
  const identity = { guid: GUID, name: 'shop' as RepoName, networkId: 2816 as NetworkId, linkIndex: 0 };
  const target = repoTarget(datastore, identity);
  const { image } = target.paths;
  writeFileSync(image, '');
  truncateSync(image, 1024 ** 2);
  writeFileSync(`${datastore}/other`, '');
  truncateSync(`${datastore}/other`, 1024 ** 2);
  const system = createLinuxSystem();
  return { datastore, target, image, refuse: () => refuseSecondOpening(system, target), system };
}

describe('on this host', () => {
  test('one that is not attached, or once by our name, is fine, beside whatever else is attached', async () => {
    const { datastore, image, refuse, system } = await world();
    attach(`${datastore}/other`);
    await refuse();
    const device = attach(image);
    await refuse();
    expect((await findOpenings(system, [image, `${datastore}/gone`])).get(image)).toEqual([
      { device, backingFile: image, mappings: [], autoclear: false },
    ]);
  });

  test('a second loop device is refused, with what to do', async () => {
    const { image, refuse } = await world();
    attach(image);
    const second = attach(image);
    await expect(refuse()).rejects.toMatchObject({
      code: 'VOLUME_IN_USE',
      message: expect.stringMatching(
        /^repository "shop": its image is attached a second time: \/dev\/loop\d+; writing/,
      ),
      hint: expect.stringContaining(`losetup --detach ${second}`),
    });
  });

  test('so is one of another name of the same file, also alone', async () => {
    const { datastore, image, refuse } = await world();
    linkSync(image, `${datastore}/a name`);
    const device = attach(`${datastore}/a name`);
    const message = expect.stringContaining(`${device} (as ${datastore}/a name)`);
    await expect(refuse()).rejects.toMatchObject({ code: 'VOLUME_IN_USE', message });
  });
});

describe('who is foreign', () => {
  const target = shopTarget();
  const { image, mapping } = target.paths;
  const one = (device: string, mappings: string[] = [], backingFile = image, autoclear = false): Opening => ({
    ...{ device, backingFile, mappings, autoclear },
  });

  test.each<[string, Opening[], string[]]>([
    ['ours, open', [one('/dev/loop0', [mapping])], []],
    ['ours, left by a crash', [one('/dev/loop0')], []],
    [
      'a second device beside ours, wherever it stands',
      [one('/dev/loop0'), one('/dev/loop1', [mapping])],
      ['/dev/loop0'],
    ],
    ['a mapping of another name', [one('/dev/loop0', ['mine'])], ['/dev/loop0']],
    ['a second mapping on our own device', [one('/dev/loop0', [mapping, 'mine'])], ['/dev/loop0']],
    ['another name of the file', [one('/dev/loop0', [], '/root/link')], ['/dev/loop0']],
  ])('%s', (_what, openings, foreign) => {
    expect(foreignOpenings(target, openings).map(({ device }) => device)).toEqual(foreign);
  });

  test('what to do about it never detaches a device that is ours', () => {
    const shared = foreignOpenings(target, [one('/dev/loop0', [mapping, 'mine'])]);
    expect(describeForeign(target, shared).fix).toBe('find out who did it, then on the server: cryptsetup close mine');
    // What cryptsetup(8) has attached itself goes with its mapping.
    const own = foreignOpenings(target, [one('/dev/loop0', ['mine'], image, true)]);
    expect(describeForeign(target, own).fix).toBe('find out who did it, then on the server: cryptsetup close mine');
    const other = foreignOpenings(target, [one('/dev/loop0', [mapping]), one('/dev/loop1', ['mine'], '/root/link')]);
    expect(describeForeign(target, other)).toEqual({
      what: 'its image is attached a second time: /dev/loop1 (as /root/link, open as "mine"); writing through both destroys it',
      fix: 'find out who did it, then on the server: cryptsetup close mine; losetup --detach /dev/loop1',
    });
  });

  test.each([
    [65024n, '254:0'],
    [45n, '0:45'],
    [2305n, '9:1'],
    [1048832n, '1:256'],
  ])('device number %s is %s', (device, text) => expect(majorMinor(device)).toBe(text));
});
