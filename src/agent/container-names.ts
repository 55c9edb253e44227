// What containers are called, by the daemon that runs them.
import { command } from '../lifecycle/command.ts';
import { type ContainerRef, containerOf } from '../lifecycle/holder-text.ts';
import type { Holder } from '../lifecycle/holders.ts';
import type { System } from '../lifecycle/system.ts';
import { networkNames } from './layout.ts';
import type { RepoStore } from './repo-store.ts';

const HOST_SOCKET = '/run/docker.sock';
const PATIENCE_MS = 10_000;

/** A daemon that does not answer leaves the container its short id. */
export async function nameContainers(
  system: System,
  store: RepoStore,
  holders: readonly Holder[],
): Promise<(container: ContainerRef) => string> {
  const containers = holders.flatMap((holder) => containerOf(holder) ?? []);
  const records = containers.length === 0 ? [] : await store.list();
  const names = new Map<string, string>();
  for (const container of containers) {
    const { id, repo, engine } = container;
    if (names.has(id)) continue;
    const record = records.find(({ guid }) => guid === repo);
    const socket = record === undefined ? HOST_SOCKET : networkNames(record.networkId).dockerSocket;
    const name = engine === 'docker' ? await nameOf(system, socket, id) : undefined;
    const whose = record === undefined ? `the host's ${engine}` : `the daemon of "${record.name}"`;
    names.set(id, `container "${name ?? id.slice(0, 12)}" of ${whose}`);
  }
  return ({ id }) => names.get(id) ?? `container "${id.slice(0, 12)}"`;
}

async function nameOf(system: System, socket: string, id: string): Promise<string | undefined> {
  const inspect = command('docker', '--host', `unix://${socket}`, 'inspect', '--format', '{{.Name}}', id);
  const { stdout } = await system.run({ ...inspect, timeoutMs: PATIENCE_MS }).catch(() => ({ stdout: '' }));
  return stdout.trim().replace(/^\//, '') || undefined;
}
