// Files that are there only until something else is done with them, left by a daemon that was killed: removed when the next one
// starts, where it is certain that they are ours and that nobody works with them.
import { lstat } from 'node:fs/promises';
import type { System } from '../lifecycle/system.ts';
import { guidSchema } from '../protocol/ids.ts';
import { removeAbandoned } from './atomic-file.ts';
import { CONFIG_DIR, RUNS_DIR, RUNTIME_DIR, RUNTIME_UNIT_DIR, STATE_DIR } from './layout.ts';
import { listNames, orAbsent } from './linux-files.ts';
import { lockOwners } from './lock-owner.ts';

export interface LeftFilesDeps {
  system: System;
  lockDir: string;
  /** undefined: the machine is not set up. */
  datastore: string | undefined;
  /** Outside of the datastore, where the agent writes files: agentDirectories(). */
  directories: readonly string[];
}

/** Drafts by directory and by what follows the GUID of the repository, whose lock is held by whoever makes one. */
const DRAFTS: readonly [string, RegExp][] = [
  ['.state', /^(.{36})\.luks-header\.new$/],
  ['.credentials/keys', /^(.{36})\.key\.new$/],
  ['repositories', /^(.{36})\.probe(-copy)?$/],
];

/** Returns the paths of what was removed. */
export async function removeLeftFiles(deps: LeftFilesDeps): Promise<string[]> {
  const { lockDir, datastore } = deps;
  const ofDatastore = datastore === undefined ? [] : DRAFTS.map(([name]) => `${datastore}/${name}`);
  const removed: string[] = [];
  for (const directory of [...deps.directories, ...ofDatastore]) removed.push(...(await removeAbandoned(directory)));
  for (const key of await labelledKeys(lockDir)) await lockOwners(lockDir, key);
  if (datastore !== undefined) removed.push(...(await removeDrafts(deps, datastore)));
  return removed;
}

export async function agentDirectories(): Promise<string[]> {
  const dropIns = (await below(RUNTIME_UNIT_DIR)).filter((path) => path.startsWith(`${RUNTIME_UNIT_DIR}/rediacc-`));
  const runs = await below(RUNS_DIR);
  const runtime = await below(RUNTIME_DIR);
  return [CONFIG_DIR, STATE_DIR, RUNTIME_DIR, ...runtime, ...runs, ...dropIns];
}

async function below(path: string): Promise<string[]> {
  const paths = ((await listNames(path)) ?? []).map((name) => `${path}/${name}`);
  const found = await Promise.all(paths.map(async (one) => ({ one, stat: await orAbsent(lstat(one)) })));
  return found.flatMap(({ one, stat }) => (stat?.isDirectory() ? [one] : []));
}

/** Looking at a lock's labels removes those of the dead. */
async function labelledKeys(lockDir: string): Promise<Set<string>> {
  const names = (await listNames(lockDir)) ?? [];
  return new Set(names.flatMap((name) => /^(.+)\.\d+\.json$/.exec(name)?.[1] ?? []));
}

async function removeDrafts({ system, lockDir }: LeftFilesDeps, datastore: string): Promise<string[]> {
  const removed: string[] = [];
  for (const [directory, pattern] of DRAFTS) {
    for (const name of (await system.list(`${datastore}/${directory}`)) ?? []) {
      const guid = guidSchema.safeParse(pattern.exec(name)?.[1]).data;
      if (guid === undefined || (await lockOwners(lockDir, guid)).length > 0) continue;
      const path = `${datastore}/${directory}/${name}`;
      await system.remove(path);
      removed.push(path);
    }
  }
  return removed;
}
