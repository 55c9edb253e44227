// Which compose project a directory is. The mount's path contains the GUID, and a fork gets another GUID and another
// name but the same docker volumes: so the name is decided once, kept in .rediacc.json, and never changed. Pure.
import type { ServicesFile } from '../network/services.ts';
import { RdcError } from '../protocol/errors.ts';

/** Directory relative to the mount ("" is the mount itself) to project name. */
export type Projects = ReadonlyMap<string, string>;

/** Where nothing of a directory's name is legal. compose itself would refuse it. */
const NAMELESS = 'project';

export interface ProjectPlaces {
  /** The repository's name: the project of the mount itself when it is first named. */
  repository: string;
  /** Directories with a Rediaccfile, "" among them or not, in the order of `up`. */
  directories: readonly string[];
}

/** The file with a name for the mount and for each directory. What has a name keeps it; of two that would share one the later gets "-2". */
export function nameProjects(path: string, file: ServicesFile, places: ProjectPlaces): ServicesFile {
  const projects = new Map(parseProjects(path, file));
  const used = new Set(projects.values());
  for (const directory of new Set(['', ...places.directories])) {
    if (projects.has(directory)) continue;
    const name = freeName(projectName(directory === '' ? places.repository : directory), used);
    used.add(name);
    projects.set(directory, name);
  }
  return { ...file, projects: Object.fromEntries(projects) };
}

/** Throws CONFIG_INVALID where the file's "projects" is not what compose accepts, or names two directories alike. */
export function parseProjects(path: string, { projects = {} }: ServicesFile): Projects {
  const invalid = (reason: string) =>
    new RdcError('CONFIG_INVALID', `${path}: projects: ${reason}`, {
      hint: 'mend it by hand; docker volumes carry the name of their project',
    });
  if (projects === null || typeof projects !== 'object' || Array.isArray(projects)) throw invalid('not an object');
  const owners = new Map<string, string>();
  for (const [directory, name] of Object.entries(projects)) {
    if (typeof name !== 'string' || projectName(name) !== name) {
      throw invalid(`${JSON.stringify(name)} of "${directory}" is no legal name: a-z, 0-9, "-" and "_", not first`);
    }
    const other = owners.get(name);
    if (other !== undefined) throw invalid(`"${other}" and "${directory}" both have "${name}"`);
    owners.set(name, directory);
  }
  return new Map([...owners].map(([name, directory]) => [directory, name]));
}

/** As compose makes a project name of a directory's (compose-go loader.go: NormalizeProjectName). */
export function projectName(text: string): string {
  const legal = text
    .toLowerCase()
    .replaceAll(/[^-_a-z0-9]/g, '')
    .replace(/^[-_]+/, '');
  return legal === '' ? NAMELESS : legal;
}

function freeName(name: string, used: ReadonlySet<string>): string {
  if (!used.has(name)) return name;
  for (let number = 2; ; number += 1) {
    const numbered = `${name}-${number}`;
    if (!used.has(numbered)) return numbered;
  }
}
