// What `renet compose` and `renet wait` (systemd/renet-*.sh) find in a function's environment beside the rest: which
// service has which address, and which directory is which compose project. Pure.
import { serviceAddress } from '../network/address.ts';
import type { ServicesFile } from '../network/services.ts';
import type { NetworkId } from '../protocol/ids.ts';
import type { Projects } from './compose-project.ts';

export interface ComposePlace {
  networkId: NetworkId;
  services: ServicesFile['services'];
  projects: Projects;
  /** Of the Rediaccfile, relative to the mount; "" is the mount itself. */
  directory: string;
  /** What the directory's compose files and its .env say wins over the name that it has from us. */
  named: boolean;
}

/** COMPOSE_PROJECT_NAME is for plain `docker compose` too; REDIACC_PROJECT tells the shim that it is not the author's. */
export function composeEnvironment(place: ComposePlace): Record<string, string> {
  const { networkId, services, projects, directory, named } = place;
  const name = named ? undefined : projects.get(directory);
  return {
    REDIACC_SERVICES: Object.entries(services)
      .map(([service, { slot }]) => `${service}=${serviceAddress(networkId, slot)}`)
      .join(' '),
    REDIACC_PROJECTS: projectTable(projects),
    ...(name === undefined ? {} : { REDIACC_PROJECT: name, COMPOSE_PROJECT_NAME: name }),
  };
}

/** "webapp=/backend=backend": no name of a directory contains "/", none of a project "=". A directory that no environment can name has compose's own name for it. */
function projectTable(projects: Projects): string {
  return [...projects]
    .filter(([directory]) => isPrintable(directory))
    .map(([directory, name]) => `${name}=${directory}`)
    .join('/');
}

function isPrintable(text: string): boolean {
  return [...text].every((character) => character >= ' ' && character !== '\u007f' && character !== '\ufffd');
}

/** Whether the author names the project: a top-level "name:" in a compose file, or COMPOSE_PROJECT_NAME in the .env beside it. The same lines that systemd/renet-project.sh looks for. */
export function namesProject(composeTexts: readonly string[], envText: string | undefined): boolean {
  return (
    composeTexts.some((text) => /^["']?name["']?[ \t]*:/m.test(text)) ||
    /^[ \t]*(?:export[ \t]+)?COMPOSE_PROJECT_NAME[ \t]*[=:]/m.test(envText ?? '')
  );
}
