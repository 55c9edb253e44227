// Builds the base image into a directory: vmlinux, initrd and one root filesystem per flavour.
// It never writes outside that directory; making it visible to others is image-cache.ts's job.
import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from './exec.ts';
import { BASE_FILES, SERVER_FILES } from './guest-files.ts';
import { extractVmlinux, writeInitrd } from './kernel.ts';
import { type Flavour, ROOT_SIZE_GIB, SERVER_COMMANDS, SETUP_COMMANDS } from './recipe.ts';
import { type ReportStep, reported } from './report.ts';
import { installPackages, kernelVersion, putFiles, removeIdentity, runInside, unpackModules } from './rootfs.ts';

/** Where the images served by the guest's registry come from (see images/). */
export interface RegistrySource {
  /** Writes a docker-registry v2 filesystem storage tree into `outDir`. */
  buildRegistryStorage(options: {
    outDir: string;
    workDir: string;
    report: ReportStep;
    signal?: AbortSignal | undefined;
  }): Promise<void>;
  /** Text that changes whenever the images would. */
  imagesRecipe(): Promise<string>;
}

export interface BuildOptions {
  registry: RegistrySource;
  report: ReportStep;
  signal?: AbortSignal | undefined;
}

/** File names inside an image directory. */
export const IMAGE_FILES = {
  kernel: 'vmlinux',
  initrd: 'initrd',
  root: (flavour: Flavour) => `${flavour}.raw`,
} as const;

export async function buildImage(outDir: string, options: BuildOptions): Promise<void> {
  const { report, signal } = options;
  const rootfs = join(outDir, 'rootfs');
  await reported(report, 'install the Debian packages of the machine', () => installPackages(rootfs, signal));
  await reported(report, 'set up the machine', () => setUp(rootfs, outDir, signal));
  const storage = join(outDir, 'registry');
  const workDir = join(outDir, 'work');
  await mkdir(workDir);
  await options.registry.buildRegistryStorage({ outDir: storage, workDir, report, signal });
  await reported(report, 'pack the root filesystem of the playground', async () => {
    await addRegistry(rootfs, storage, signal);
    await packRoot(rootfs, join(outDir, IMAGE_FILES.root('playground')), signal);
  });
  await reported(report, 'pack the root filesystem of the server', async () => {
    await putFiles(rootfs, SERVER_FILES);
    await runInside(rootfs, SERVER_COMMANDS, signal);
    await packRoot(rootfs, join(outDir, IMAGE_FILES.root('server')), signal);
  });
  for (const directory of [rootfs, storage, workDir]) await rm(directory, { recursive: true, force: true });
}

async function setUp(rootfs: string, outDir: string, signal?: AbortSignal): Promise<void> {
  const version = await kernelVersion(rootfs);
  await putFiles(rootfs, BASE_FILES);
  await runInside(rootfs, SETUP_COMMANDS, signal);
  await removeIdentity(rootfs);
  await unpackModules(rootfs, version, signal);
  await extractVmlinux(join(rootfs, 'boot', `vmlinuz-${version}`), join(outDir, IMAGE_FILES.kernel), signal);
  await writeInitrd(rootfs, version, join(outDir, IMAGE_FILES.initrd));
}

async function addRegistry(rootfs: string, storage: string, signal?: AbortSignal): Promise<void> {
  const target = '/var/lib/docker-registry';
  await cp(storage, join(rootfs, target), { recursive: true });
  await runInside(rootfs, [['chown', '--recursive', 'docker-registry:docker-registry', target]], signal);
}

/** A sparse raw ext4 image, filled without mounting anything. */
async function packRoot(rootfs: string, image: string, signal?: AbortSignal): Promise<void> {
  await exec(
    [
      'mke2fs',
      '-q',
      '-t',
      'ext4',
      '-L',
      'root',
      '-E',
      'lazy_itable_init=1,nodiscard',
      '-d',
      rootfs,
      image,
      `${ROOT_SIZE_GIB}G`,
    ],
    { signal },
  );
}
