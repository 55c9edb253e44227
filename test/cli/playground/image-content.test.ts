// What the images are made of: which paths a layer gets, how it is packed, and that the definitions fit together.
import { execFileSync } from 'node:child_process';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imagesRecipe } from '../../../src/cli/playground/images/build-images.ts';
import { IMAGES } from '../../../src/cli/playground/images/catalogue.ts';
import { followLinks, layerContent, parseLdd } from '../../../src/cli/playground/images/content.ts';
import { LAYERS, type MadeFile } from '../../../src/cli/playground/images/definitions.ts';
import { writeMadeFiles } from '../../../src/cli/playground/images/made-files.ts';
import { packSmall, smallTree } from '../../helpers/small-tree.ts';

const NOTHING = { below: new Set<string>(), made: new Set<string>() };

let directory: string;
let tree: string;

beforeAll(async () => {
  directory = await smallTree();
  tree = join(directory, 'tree');
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe('a layer', () => {
  it('has the same bytes whenever and in whatever order it is packed', async () => {
    const first = await packSmall(directory, 'first', ['usr/lib/libz.so.1.3', 'usr/bin/hello']);
    await writeFile(join(tree, 'usr/bin/hello'), '#!/bin/sh\n');
    const second = await packSmall(directory, 'second', ['usr/bin/hello', 'usr/lib/libz.so.1.3']);
    expect({ ...second, file: '' }).toEqual({ ...first, file: '' });
  });

  it('holds files, links and modes as they are', async () => {
    const { file } = await packSmall(directory, 'listed', ['usr/bin/hello', 'usr/lib/libz.so.1']);
    const listing = execFileSync('tar', ['--list', '--verbose', '--gzip', '--file', file], { encoding: 'utf8' });
    expect(listing).toMatch(/^-rwxr-xr-x .* usr\/bin\/hello$/m);
    expect(listing).toMatch(/^lrwxrwxrwx .* usr\/lib\/libz\.so\.1 -> libz\.so\.1\.3$/m);
  });

  it('takes directories without following links out of them', async () => {
    const taken = await layerContent(tree, { name: 'ssl', take: ['/usr/lib/ssl'] }, NOTHING);
    expect(taken).toEqual(['usr/lib/ssl', 'usr/lib/ssl/certs']);
  });

  it('leaves out what was asked for and what is written in its place', async () => {
    const layer = { name: 'lib', take: ['/usr/lib'], leave: ['/usr/lib/ssl', '/usr/lib/loop'] };
    const taken = await layerContent(tree, layer, { ...NOTHING, made: new Set(['usr/lib/libz.so.1']) });
    expect(taken).toEqual(['usr/lib', 'usr/lib/libz.so.1.3']);
  });

  it('writes accounts, links and changed files', async () => {
    const made: MadeFile[] = [
      { kind: 'link', path: '/bin/hi', target: 'hello' },
      { kind: 'directory', path: '/run/shop', mode: 0o3777 },
      { kind: 'edited', path: '/etc/ssl/ours', from: 'ours', to: 'yours' },
    ];
    const users = [{ name: 'shop', id: 999, home: '/shop', shell: '/bin/sh' }];
    const target = join(directory, 'made');
    const paths = await writeMadeFiles(tree, target, { name: 'made', users, made });
    expect(await readFile(join(target, 'etc/ssl/ours'), 'utf8')).toBe('yours');
    expect(await readFile(join(target, 'etc/passwd'), 'utf8')).toContain('shop:x:999:999:shop:/shop:/bin/sh\n');
    expect((await stat(join(target, 'run/shop'))).mode & 0o7777).toBe(0o3777);
    expect(paths).toEqual(['bin/hi', 'etc/group', 'etc/passwd', 'etc/ssl/ours', 'run/shop']);
  });
});

describe('followLinks', () => {
  it('answers with every link on the way and the file, without links to directories', async () => {
    expect(await followLinks(tree, '/lib/libz.so.1')).toEqual(['lib', 'usr/lib/libz.so.1', 'usr/lib/libz.so.1.3']);
    expect(await followLinks(tree, '/usr/lib/ssl/certs/ours')).toEqual(['usr/lib/ssl/certs', 'etc/ssl/ours']);
  });

  it('gives up on a loop', async () => {
    await expect(followLinks(tree, '/usr/lib/loop')).rejects.toThrow('too many symbolic links');
  });
});

describe('parseLdd', () => {
  const output = [
    '/usr/bin/redis-server:',
    '\tlinux-vdso.so.1 (0x00007f60385d0000)',
    '\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f603855c000)',
    '\t/lib64/ld-linux-x86-64.so.2 (0x00007f60385d2000)',
    '/usr/bin/busybox:',
    '\tnot a dynamic executable',
  ].join('\n');

  it('finds libraries and the loader', () => {
    expect([...parseLdd(output)]).toEqual(['/lib/x86_64-linux-gnu/libz.so.1', '/lib64/ld-linux-x86-64.so.2']);
  });

  it('names a library that is missing', () => {
    expect(() => parseLdd('\tlibgone.so.1 => not found\n')).toThrow('the packages lack the library "libgone.so.1"');
  });
});

describe('the definitions', () => {
  it('give every image a layer, and every layer a parent that comes before it', () => {
    const names = [...LAYERS.map(({ name }) => name), 'api'];
    for (const image of IMAGES) expect(names).toContain(image.layer);
    LAYERS.forEach((layer, index) => {
      if (layer.parent !== undefined) expect(names.indexOf(layer.parent)).toBeLessThan(index);
    });
  });

  it('have a recipe that holds the scripts and the source of the API', async () => {
    const recipe = await imagesRecipe();
    expect(recipe).toBe(await imagesRecipe());
    expect(recipe).toContain('PostgreSQL init process complete');
    expect(recipe).toContain('listening on');
  });
});

describe('the scripts in the images', () => {
  const scripts = LAYERS.flatMap(({ made = [] }) => made).filter((file) => file.kind === 'text' && file.mode === 0o755);
  it.each(scripts.map((file) => [file.path, file] as const))('%s is valid', (_path, file) => {
    if (file.kind !== 'text') throw new Error('a script is text');
    const shell = /^#!.*\bbash/.test(file.text) ? 'bash' : 'sh';
    execFileSync(shell, ['-n'], { input: file.text });
  });
});
