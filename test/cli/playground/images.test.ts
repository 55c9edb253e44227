// The storage writer, against the real registry: what it serves has the digests it promises. The layers are tiny;
// the images themselves are tested on the virtual machine.
import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LayerBlob } from '../../../src/cli/playground/images/layer-blob.ts';
import { putImage } from '../../../src/cli/playground/images/registry-storage.ts';
import { eventually, freePort, type Service, startService } from '../../helpers/service.ts';
import { packSmall, smallTree, TIME } from '../../helpers/small-tree.ts';

const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';

let directory: string;

beforeAll(async () => {
  directory = await smallTree();
});

afterAll(() => rm(directory, { recursive: true, force: true }));

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

describe('the registry', () => {
  let registry: Service;
  let base: string;
  let digest: string;
  let layers: { name: string; blob: LayerBlob }[];

  beforeAll(async () => {
    const storage = join(directory, 'storage');
    layers = [
      { name: 'base', blob: await packSmall(directory, 'base', ['usr/lib/libz.so.1', 'usr/lib/libz.so.1.3']) },
      { name: 'top', blob: await packSmall(directory, 'top', ['usr/bin/hello']) },
    ];
    const image = { architecture: 'amd64', created: new Date(TIME * 1000).toISOString(), config: { Cmd: ['hello'] } };
    digest = await putImage(storage, { ...image, repository: 'library/hello', tags: ['1', 'latest'], layers });
    await putImage(storage, { ...image, repository: 'someone/base', tags: ['latest'], layers: layers.slice(0, 1) });
    const port = await freePort();
    base = `http://127.0.0.1:${port}/v2`;
    await writeFile(join(directory, 'config.json'), JSON.stringify(registryConfig(storage, port)));
    registry = await startService(['docker-registry', 'serve', join(directory, 'config.json')]);
    await eventually(async () => ((await fetch(`${base}/`)).ok ? true : undefined));
  });

  afterAll(() => registry?.stop());

  it('lists repositories and tags', async () => {
    const catalogue = await getJson('/_catalog');
    expect(catalogue).toEqual({ repositories: ['library/hello', 'someone/base'] });
    const { tags } = (await getJson('/library/hello/tags/list')) as { tags: string[] };
    expect(tags.sort()).toEqual(['1', 'latest']);
  });

  it.each(['1', 'latest', 'digest'])('serves the manifest by %s, with its type and digest', async (reference) => {
    const response = await getManifest('library/hello', reference === 'digest' ? digest : reference);
    expect(response.headers.get('content-type')).toBe(MANIFEST_TYPE);
    expect(response.headers.get('docker-content-digest')).toBe(digest);
    expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(digest);
  });

  it.each(['library/hello', 'someone/base'])('serves every blob of %s with the promised digest', async (repository) => {
    const manifest = (await (await getManifest(repository, 'latest')).json()) as Manifest;
    for (const { digest: promised, size } of [manifest.config, ...manifest.layers]) {
      const blob = new Uint8Array(await (await fetch(`${base}/${repository}/blobs/${promised}`)).arrayBuffer());
      expect([sha256(blob), blob.length]).toEqual([promised, size]);
    }
  });

  it('describes the unpacked layers in the configuration', async () => {
    const manifest = (await (await getManifest('library/hello', '1')).json()) as Manifest;
    const config = (await getJson(`/library/hello/blobs/${manifest.config.digest}`)) as {
      rootfs: { diff_ids: string[] };
    };
    const archives = await Promise.all(
      manifest.layers.map(async (layer) =>
        gunzipSync(await (await fetch(`${base}/library/hello/blobs/${layer.digest}`)).arrayBuffer()),
      ),
    );
    expect(config.rootfs.diff_ids).toEqual(archives.map(sha256));
    expect(layers.map(({ blob }) => blob.unpacked)).toEqual(archives.map((archive) => archive.length));
  });

  async function getJson(path: string): Promise<unknown> {
    return (await fetch(base + path)).json();
  }

  function getManifest(repository: string, reference: string): Promise<Response> {
    return fetch(`${base}/${repository}/manifests/${reference}`, { headers: { accept: MANIFEST_TYPE } });
  }
});

interface Manifest {
  config: { digest: string; size: number };
  layers: { digest: string; size: number }[];
}

function registryConfig(storage: string, port: number): object {
  return {
    version: '0.1',
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: storage } },
    http: { addr: `127.0.0.1:${port}` },
  };
}
