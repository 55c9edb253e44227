// Builds the container images of the playground's registry mirror from Debian packages: no registry, no docker needed.
// A real PostgreSQL, a real Redis, Node and busybox under the names that compose files use (see catalogue.ts).
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RdcError } from '../../../protocol/errors.ts';
import { aptSources } from '../apt-source.ts';
import { exec } from '../exec.ts';
import { type ReportStep, reported } from '../report.ts';
import { apiSource } from './api-source.ts';
import { type ContainerConfig, IMAGES, type ImageDefinition } from './catalogue.ts';
import { layerContent } from './content.ts';
import { apiLayer, LAYERS, type LayerDefinition, PACKAGES, SUITE } from './definitions.ts';
import { type LayerBlob, packLayer } from './layer-blob.ts';
import { writeMadeFiles } from './made-files.ts';
import { putImage } from './registry-storage.ts';

/** Raised when the build changes in a way that the definitions do not show. */
const BUILD_REVISION = 1;

export interface BuildImagesOptions {
  /** Becomes the registry's storage directory. */
  outDir: string;
  /** For the unpacked packages (500 MB); left empty of them. */
  workDir: string;
  report: ReportStep;
  signal?: AbortSignal | undefined;
}

interface Workspace {
  /** The unpacked packages. */
  tree: string;
  layersDir: string;
  /** Seconds since 1970: the release date of the Debian inside, for every file. */
  time: number;
  signal: AbortSignal | undefined;
}

/** Paths relative to the tree and to the layer's own directory. */
interface LayerContent {
  layer: LayerDefinition;
  packaged: readonly string[];
  made: readonly string[];
}

/** Writes every image of the catalogue into `outDir`. Needs root, for chroot and for the owners of files. */
export async function buildRegistryStorage(options: BuildImagesOptions): Promise<void> {
  const { workDir, signal } = options;
  const [tree, layersDir] = [join(workDir, 'image-packages'), join(workDir, 'image-layers')];
  const clear = () => Promise.all([tree, layersDir].map((path) => rm(path, { recursive: true, force: true })));
  await clear();
  try {
    await mkdir(layersDir, { recursive: true });
    await reported(options.report, 'unpack the Debian packages of the container images', () =>
      unpackPackages(tree, signal),
    );
    const time = Math.round((await stat(join(tree, 'usr/lib/os-release'))).mtimeMs / 1000);
    await writeImages({ tree, layersDir, time, signal }, options);
  } finally {
    await clear();
  }
}

async function writeImages(workspace: Workspace, { outDir, report }: BuildImagesOptions): Promise<void> {
  const definitions = [...LAYERS, apiLayer(await apiSource())];
  const blobs = await reported(report, 'pack the layers of the container images', () =>
    packLayers(workspace, definitions),
  );
  for (const image of IMAGES) {
    const layers = layersOf(image, definitions, blobs);
    await putImage(outDir, { ...image, ...(await imageFacts(workspace, image)), layers });
    report({ title: `container image ${image.repository}`, state: 'info', detail: sizeOf(layers) });
  }
}

/** Text that changes whenever the images would. */
export async function imagesRecipe(): Promise<string> {
  const layers = [...LAYERS, apiLayer(await apiSource())];
  return JSON.stringify({ revision: BUILD_REVISION, suite: SUITE, packages: PACKAGES, layers, images: IMAGES });
}

async function unpackPackages(tree: string, signal?: AbortSignal): Promise<void> {
  await exec(
    [
      ...(['mmdebstrap', '--mode=root', '--variant=extract', '--format=directory'] as const),
      `--include=${PACKAGES.join(',')}`,
      '--aptopt=Apt::Install-Recommends "false"',
      ...[SUITE, tree],
      ...(await aptSources(SUITE, signal)),
    ],
    { signal },
  );
}

async function packLayers(
  workspace: Workspace,
  definitions: readonly LayerDefinition[],
): Promise<Map<string, LayerBlob>> {
  const paths = new Map<string, ReadonlySet<string>>();
  const contents: LayerContent[] = [];
  for (const layer of definitions) {
    const below = paths.get(layer.parent ?? '') ?? new Set<string>();
    const made = await writeMadeFiles(workspace.tree, madeDirectory(workspace, layer), layer);
    const packaged = await layerContent(workspace.tree, layer, { below, made: new Set(made) });
    paths.set(layer.name, new Set([...below, ...made, ...packaged]));
    contents.push({ layer, made, packaged });
  }
  const packed = contents.map(async (content) => [content.layer.name, await packOne(workspace, content)] as const);
  return new Map(await Promise.all(packed));
}

function packOne(workspace: Workspace, { layer, made, packaged }: LayerContent): Promise<LayerBlob> {
  return packLayer({
    file: join(workspace.layersDir, layer.name),
    parts: [
      { directory: workspace.tree, paths: packaged },
      { directory: madeDirectory(workspace, layer), paths: made },
    ],
    time: workspace.time,
    signal: workspace.signal,
  });
}

function madeDirectory(workspace: Workspace, layer: LayerDefinition): string {
  return join(workspace.layersDir, `${layer.name}.made`);
}

function layersOf(
  image: ImageDefinition,
  definitions: readonly LayerDefinition[],
  blobs: ReadonlyMap<string, LayerBlob>,
): { name: string; blob: LayerBlob }[] {
  const layers: { name: string; blob: LayerBlob }[] = [];
  for (let name: string | undefined = image.layer; name !== undefined; ) {
    const definition = definitions.find((candidate) => candidate.name === name);
    const blob = blobs.get(name);
    if (definition === undefined || blob === undefined) throw new RdcError('INTERNAL', `no image layer "${name}"`);
    layers.unshift({ name, blob });
    name = definition.parent;
  }
  return layers;
}

/** What only the packages themselves can tell. */
async function imageFacts(
  { tree, time }: Workspace,
  image: ImageDefinition,
): Promise<{ architecture: string; created: string; config: ContainerConfig }> {
  const architecture = (await exec(['dpkg', '--print-architecture'])).stdout.trim();
  const created = new Date(time * 1000).toISOString();
  if (image.version === undefined) return { architecture, created, config: image.config };
  const { variable, program } = image.version;
  const { stdout } = await exec(['chroot', tree, program, '--version']);
  const version = /\d+(\.\d+)+/.exec(stdout)?.[0] ?? 'unknown';
  const config = { ...image.config, Env: [...(image.config.Env ?? []), `${variable}=${version}`] };
  return { architecture, created, config };
}

function sizeOf(layers: readonly { blob: LayerBlob }[]): string {
  const megabytes = (key: 'size' | 'unpacked') =>
    Math.ceil(layers.reduce((sum, { blob }) => sum + blob[key], 0) / 1_000_000);
  return `${megabytes('unpacked')} MB, ${megabytes('size')} MB to pull`;
}
