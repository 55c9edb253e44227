// The base images in the cache, by the hash of their recipe. A directory that carries the hash is complete: it got its
// name by a rename at the very end. What a killed build left lies under another name and is removed by the next one.
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { RdcError } from '../../protocol/errors.ts';
import { buildImage, type RegistrySource } from './build-image.ts';
import { withFileLock } from './file-lock.ts';
import { exists } from './identity.ts';
import { recipeHash } from './recipe.ts';
import { type ReportStep, reported } from './report.ts';

const BUILDING = '.building-';

export interface ImageOptions {
  /** See playgroundCache(). */
  cacheDir: string;
  registry: RegistrySource;
  report: ReportStep;
  signal?: AbortSignal | undefined;
}

/** ${XDG_CACHE_HOME:-~/.cache}/rediacc/playground */
export function playgroundCache(env: Readonly<Record<string, string | undefined>>): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'rediacc', 'playground');
}

/** The directory of the base image for today's recipe, built first where the cache does not hold it. */
export async function ensureImage(options: ImageOptions): Promise<{ dir: string; built: boolean }> {
  const { cacheDir, report, signal } = options;
  const dir = join(cacheDir, recipeHash(await options.registry.imagesRecipe()));
  if (await exists(dir)) return { dir, built: false };
  await mkdir(cacheDir, { recursive: true });
  const onWait = () => report({ title: 'another process is building the base image; waiting for it', state: 'info' });
  return withFileLock(join(cacheDir, 'build.lock'), { signal, onWait }, async () => {
    if (await exists(dir)) return { dir, built: false };
    if (process.getuid?.() !== 0) {
      throw new RdcError('HOST_NOT_SUITABLE', 'building the base image needs root, once', {
        hint: 'run the command once with: sudo --preserve-env=HOME,XDG_CACHE_HOME',
      });
    }
    await removeLeftovers(cacheDir);
    await reported(report, 'build the base image (once)', () => buildAt(dir, options));
    return { dir, built: true };
  });
}

async function buildAt(dir: string, options: ImageOptions): Promise<void> {
  const building = join(options.cacheDir, `${BUILDING}${process.pid}`);
  await mkdir(building);
  try {
    await buildImage(building, options);
    await rename(building, dir);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    if (options.signal?.aborted) throw new RdcError('INTERRUPTED', 'interrupted while building the base image');
    throw error;
  }
}

async function removeLeftovers(cacheDir: string): Promise<void> {
  const leftovers = (await readdir(cacheDir)).filter((name) => name.startsWith(BUILDING));
  for (const name of leftovers) await rm(join(cacheDir, name), { recursive: true, force: true });
}
