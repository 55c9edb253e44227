// Where the host's own docker keeps its data: repositories must not see it. Its other settings are its own matter.
import type { System } from '../lifecycle/system.ts';

const CONFIG = '/etc/docker/daemon.json';

/**
 * The `data-root` of daemon.json (dockerd(8)); undefined where it is docker's default, or lies around the datastore,
 * which could then not be seen either. A file that docker itself would refuse says nothing.
 */
export async function observeDockerData(system: System, datastore: string): Promise<string | undefined> {
  const text = await system.readFile(CONFIG);
  if (text === undefined) return undefined;
  const root = dataRootOf(text);
  if (root === undefined || `${datastore}/`.startsWith(`${root}/`)) return undefined;
  return root;
}

function dataRootOf(text: string): string | undefined {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof config !== 'object' || config === null) return undefined;
  const root = (config as Record<string, unknown>)['data-root'];
  return typeof root === 'string' && /^\/[^\n"\\%]+$/.test(root) ? root.replace(/\/+$/, '') : undefined;
}
