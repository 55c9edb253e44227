// Writes images straight into the storage directory of a docker registry, so that serving them takes no push.
// The layout is that of the registry's filesystem driver (distribution 2.8, registry/storage/paths.go):
// blobs by digest, and per repository small "link" files that hold a digest.
import { createHash } from 'node:crypto';
import { copyFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ContainerConfig } from './catalogue.ts';
import type { LayerBlob } from './layer-blob.ts';

const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';
const CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json';
const LAYER_TYPE = 'application/vnd.docker.image.rootfs.diff.tar.gzip';

export interface Image {
  repository: string;
  tags: readonly string[];
  /** In the words of the image format: amd64, arm64. */
  architecture: string;
  /** ISO 8601. */
  created: string;
  config: ContainerConfig;
  /** Lowest first. */
  layers: readonly { name: string; blob: LayerBlob }[];
}

interface Descriptor {
  mediaType: string;
  size: number;
  digest: string;
}

/** Puts the image's manifest, configuration and layers under `root`; answers with the manifest's digest. */
export async function putImage(root: string, image: Image): Promise<string> {
  const config = await putText(root, CONFIG_TYPE, imageConfig(image));
  const layers = await Promise.all(image.layers.map(({ blob }) => putLayer(root, blob)));
  const content = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers };
  const { digest } = await putText(root, MANIFEST_TYPE, content);
  const repository = join(root, 'docker/registry/v2/repositories', image.repository);
  for (const part of [config, ...layers])
    await putLink(join(repository, '_layers', linkPath(part.digest)), part.digest);
  await putLink(join(repository, '_manifests/revisions', linkPath(digest)), digest);
  for (const tag of image.tags) {
    const directory = join(repository, '_manifests/tags', tag);
    await putLink(join(directory, 'current/link'), digest);
    await putLink(join(directory, 'index', linkPath(digest)), digest);
  }
  return digest;
}

function imageConfig({ architecture, created, config, layers }: Image): object {
  return {
    architecture,
    os: 'linux',
    created,
    config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ blob }) => blob.diffId) },
    history: layers.map(({ name }) => ({ created, created_by: `layer ${name} of the playground images` })),
  };
}

async function putText(root: string, mediaType: string, content: object): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(content, null, 2));
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const target = await blobPath(root, digest);
  await writeFile(target, bytes);
  return { mediaType, size: bytes.length, digest };
}

/** Copied under another name first: several images share a layer, and a blob is whole or absent. */
async function putLayer(root: string, { file, digest, size }: LayerBlob): Promise<Descriptor> {
  const target = await blobPath(root, digest);
  await copyFile(file, `${target}.new`);
  await rename(`${target}.new`, target);
  return { mediaType: LAYER_TYPE, size, digest };
}

async function blobPath(root: string, digest: string): Promise<string> {
  const hex = digest.slice('sha256:'.length);
  const target = join(root, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  await mkdir(dirname(target), { recursive: true });
  return target;
}

async function putLink(file: string, digest: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, digest);
}

function linkPath(digest: string): string {
  return join(digest.replace(':', '/'), 'link');
}
