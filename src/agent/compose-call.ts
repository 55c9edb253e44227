// What `renet compose` and `renet wait` find prepared: for the functions of a pass, for a person's shell inside the
// mount, and for `rdc repo compose`.

import { MAX_BYTES } from '../lifecycle/compose-documents.ts';
import { composeEnvironment, namesProject } from '../lifecycle/compose-environment.ts';
import { COMPOSE_FILE_NAMES, COMPOSE_OVERRIDE_NAMES } from '../lifecycle/compose-files.ts';
import { nameProjects, parseProjects } from '../lifecycle/compose-project.ts';
import { functionEnvironment } from '../lifecycle/function-call.ts';
import { findRediaccfiles, type Rediaccfile } from '../lifecycle/rediaccfile.ts';
import { readServicesFile, saveServicesFile } from '../lifecycle/services-file.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { formatServicesFile, type ServicesFile, serviceEnvironment } from '../network/services.ts';

type Place = Pick<Rediaccfile, 'directory' | 'path'>;
export type ComposeEnvironments = (place: Pick<Rediaccfile, 'directory'>) => Readonly<Record<string, string>>;

export interface ComposePass {
  target: RepoTarget;
  rediaccfiles: readonly Rediaccfile[];
  services: ServicesFile;
}

/** For every function of a pass. Directories without a project get one, which .rediacc.json keeps. */
export async function prepareCompose(system: System, { target, ...pass }: ComposePass): Promise<ComposeEnvironments> {
  const path = target.paths.servicesFile;
  const places = { repository: target.name, directories: pass.rediaccfiles.map(({ directory }) => directory) };
  const file = nameProjects(path, pass.services, places);
  await saveServicesFile(system, target, file, formatServicesFile(pass.services));
  const environments = new Map<string, Record<string, string>>();
  for (const place of pass.rediaccfiles)
    environments.set(place.directory, await environmentAt(system, target, file, place));
  return ({ directory }) => environments.get(directory) ?? {};
}

/** All that a function in this directory finds, without a pass; nothing is written. `directory` is relative to the mount. */
export async function standaloneEnvironment(
  system: System,
  target: RepoTarget,
  directory: string,
): Promise<Record<string, string>> {
  const { servicesFile, mountPoint } = target.paths;
  const known = await readServicesFile(system, target);
  const found = await findRediaccfiles(system, mountPoint);
  const file = nameProjects(servicesFile, known, {
    repository: target.name,
    directories: found.map((one) => one.directory),
  });
  const place = found.find((one) => one.directory === directory) ?? { directory: '', path: mountPoint };
  return {
    ...functionEnvironment(target, serviceEnvironment(target.networkId, file)),
    ...(await environmentAt(system, target, file, place)),
  };
}

async function environmentAt(
  system: System,
  { networkId, paths }: RepoTarget,
  file: ServicesFile,
  { directory, path }: Place,
): Promise<Record<string, string>> {
  const texts: string[] = [];
  for (const names of [COMPOSE_FILE_NAMES, COMPOSE_OVERRIDE_NAMES]) {
    const text = await firstText(system, paths.mountPoint, path, names);
    if (text !== undefined) texts.push(text);
  }
  return composeEnvironment({
    networkId,
    services: file.services,
    projects: parseProjects(paths.servicesFile, file),
    directory,
    named: namesProject(texts, await textOf(system, paths.mountPoint, `${path}/.env`)),
  });
}

async function firstText(
  system: System,
  mountPoint: string,
  directory: string,
  names: readonly string[],
): Promise<string | undefined> {
  for (const name of names) {
    const text = await textOf(system, mountPoint, `${directory}/${name}`);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** What cannot be read names no project; the checks of the pass tell why (check-services.ts). */
async function textOf(system: System, mountPoint: string, path: string): Promise<string | undefined> {
  const read = await system.readInside(mountPoint, path, MAX_BYTES);
  return 'text' in read ? read.text : undefined;
}
