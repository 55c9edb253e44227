// What `rdc ops` does, without the command line: the machine "playground", kept between calls, and its base image.
// Registering it as a machine in a context is the command's business; these functions return what that needs.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RdcError } from '../../protocol/errors.ts';
import { chooseAccelerator } from './accel.ts';
import type { RegistrySource } from './build-image.ts';
import { withFileLock } from './file-lock.ts';
import { exists } from './identity.ts';
import { ensureImage } from './image-cache.ts';
import { buildRegistryStorage, imagesRecipe } from './images/build-images.ts';
import type { VmInstance } from './instance.ts';
import type { Flavour } from './recipe.ts';
import type { ReportStep } from './report.ts';
import { sshArgs } from './ssh.ts';
import { type StartOptions, startVm } from './start.ts';
import { endOrphan, stopVm, type VmStatus, vmStatus } from './stop.ts';
import { ensureTools, qemuMajor } from './tools.ts';

export const PLAYGROUND = 'playground';

/** The images that the guest's registry mirror serves. */
export const REGISTRY: RegistrySource = { buildRegistryStorage, imagesRecipe };

export interface OpsOptions {
  /** Machines live in a directory each below it. */
  stateDir: string;
  /** See playgroundCache(). */
  cacheDir: string;
  report: ReportStep;
  signal?: AbortSignal | undefined;
}

export interface UpOptions extends OpsOptions {
  /** Default: playground. */
  name?: string;
  flavour?: Flavour;
  cpus?: number;
  memoryMiB?: number;
  dataDiskGiB?: number;
  diskCache?: StartOptions['diskCache'];
  servedRoot?: StartOptions['servedRoot'];
}

/** Starts the machine, building its image first where needed. A running one is returned as it is: state "already". */
export async function opsUp(options: UpOptions): Promise<{ state: 'started' | 'already'; vm: VmInstance }> {
  const { report, signal, cacheDir, name = PLAYGROUND } = options;
  const dir = machineDir(options, name);
  await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
  await ensureTools(report, signal);
  const onWait = () => report({ title: `another process works on "${name}"; waiting for it`, state: 'info' });
  return withFileLock(join(options.stateDir, `${name}.lock`), { signal, onWait }, async () => {
    const status = await vmStatus(name, dir);
    if (status.state === 'running') return { state: 'already', vm: status.vm };
    await endOrphan(dir);
    // No record, so no start ever succeeded: whatever lies there is half made.
    if (status.state === 'absent') await rm(dir, { recursive: true, force: true });
    const image = await imageFor(status, options);
    const qemuVersion = await qemuMajor(signal);
    const accel = await chooseAccelerator({ cacheDir, image, qemuVersion, report, signal });
    const { flavour = 'playground', cpus, memoryMiB, dataDiskGiB, diskCache, servedRoot } = options;
    const vm = await startVm({
      ...{ name, dir, image, flavour, accel, qemuVersion, report, signal },
      ...given({ cpus, memoryMiB, dataDiskGiB, diskCache, servedRoot }),
    });
    return { state: 'started', vm };
  });
}

/** A machine that exists keeps the image its disk builds on, also after the recipe has changed. */
async function imageFor(status: VmStatus, options: UpOptions): Promise<string> {
  if (status.state === 'absent') return (await ensureImage({ ...options, registry: REGISTRY })).dir;
  if (await exists(status.record.image)) return status.record.image;
  throw new RdcError('FAILED', `the base image of "${options.name ?? PLAYGROUND}" is gone from the cache`, {
    hint: 'rdc ops down --delete, then rdc ops up',
  });
}

export async function opsStatus(options: Pick<OpsOptions, 'stateDir'> & { name?: string }): Promise<VmStatus> {
  const name = options.name ?? PLAYGROUND;
  return vmStatus(name, machineDir(options, name));
}

/** Powers the machine off; with `delete` its disks, keys and log go too. Nothing there: state "already". */
export async function opsDown(
  options: OpsOptions & { name?: string; delete?: boolean },
): Promise<{ state: 'stopped' | 'already'; clean: boolean; deleted: boolean }> {
  const name = options.name ?? PLAYGROUND;
  const dir = machineDir(options, name);
  await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
  return withFileLock(join(options.stateDir, `${name}.lock`), { signal: options.signal }, async () => {
    options.report({ title: `power off "${name}"`, state: 'start' });
    const startedAt = performance.now();
    const outcome = await stopVm(name, dir, { signal: options.signal });
    options.report({ title: `power off "${name}"`, state: 'done', ms: Math.round(performance.now() - startedAt) });
    const deleted = options.delete === true && (await exists(dir));
    if (deleted) await rm(dir, { recursive: true, force: true });
    return { ...outcome, deleted };
  });
}

/** Words after "ssh" that log in to the running machine. */
export async function opsSshArgs(
  options: Pick<OpsOptions, 'stateDir'> & { name?: string; user?: keyof VmInstance['users'] },
): Promise<string[]> {
  const status = await opsStatus(options);
  if (status.state !== 'running') {
    throw new RdcError('NOT_FOUND', `"${options.name ?? PLAYGROUND}" is not running`, { hint: 'rdc ops up' });
  }
  return sshArgs(status.vm, options.user ?? 'deploy');
}

function machineDir(options: Pick<OpsOptions, 'stateDir'>, name: string): string {
  return join(options.stateDir, name);
}

/** Drops what is undefined, as optional properties must not be set to it. */
function given<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> };
}
