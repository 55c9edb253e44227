// The compose shapes of test/fixtures/compose as files of a model machine.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkServices } from '../../src/lifecycle/check-services.ts';
import type { Rediaccfile } from '../../src/lifecycle/rediaccfile.ts';
import { FakeSystem } from './fake-system.ts';
import { shopTarget } from './target.ts';

export const FIXTURES = join(import.meta.dirname, '../fixtures/compose');
export const target = shopTarget();
export const mount = target.paths.mountPoint;

/** What `docker-compose --profile '*' config --services` of v2.26.1 says in the directory, sorted. */
export interface Expected {
  services?: string[];
  refused?: true;
  /** Why we do not answer as compose does. */
  differs?: string;
}

export function expectedOf(name: string): Expected {
  return JSON.parse(readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8')) as Expected;
}

/** Copies a directory of the workstation into the repository. */
export function copyIn(system: FakeSystem, from: string, to: string): void {
  for (const name of readdirSync(from)) {
    if (name === 'expected.json') continue;
    const path = join(from, name);
    if (statSync(path).isDirectory()) copyIn(system, path, `${to}/${name}`);
    else system.file(`${to}/${name}`, readFileSync(path, 'utf8'));
  }
}

export function rediaccfileIn(directory: string): Rediaccfile {
  return { directory, file: 'Rediaccfile', path: directory === '' ? mount : `${mount}/${directory}` };
}

/** Checks a repository made of these files, with a Rediaccfile in each directory named. */
export async function check(files: Record<string, string>, directories: readonly string[] = ['']) {
  const system = new FakeSystem().directory(mount);
  for (const [path, text] of Object.entries(files)) system.file(`${mount}/${path}`, text);
  return checkServices(system, target, directories.map(rediaccfileIn), { services: {} });
}
