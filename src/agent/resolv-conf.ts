// Which name servers a repository asks: the host's, unless these are reached in a way that a namespace does not have.
import { command } from '../lifecycle/command.ts';
import type { ResolvConf } from '../lifecycle/sandbox.ts';
import type { System } from '../lifecycle/system.ts';

const FILE = '/etc/resolv.conf';
/** Where systemd-resolved keeps the real servers, beside its stub (systemd-resolved.service(8)). */
const UPSTREAM = '/run/systemd/resolve/resolv.conf';

/** undefined: what a repository sees of /etc is enough. */
export async function observeResolvConf(system: System): Promise<ResolvConf | undefined> {
  const place = await placeOf(system);
  const text = (await system.readFile(place)) ?? '';
  if (isStub(text) && (await system.stat(UPSTREAM)) !== undefined) return { source: UPSTREAM, place };
  // NetworkManager, resolvconf and others keep the file below /run, which a repository does not see.
  const isHidden = place.startsWith('/run/') && (await system.stat(place)) !== undefined;
  return isHidden ? { source: place, place } : undefined;
}

/** The servers that a repository asks, in order. */
export async function nameServers(system: System): Promise<string[]> {
  const source = (await observeResolvConf(system))?.source ?? FILE;
  return serversIn((await system.readFile(source)) ?? '');
}

/** The servers that whoever lives in the mount namespace of process `pid` asks. */
export async function nameServersOf(system: System, pid: number): Promise<string[]> {
  // Without links: an absolute one would lead out of the namespace (proc_pid_root(5)).
  return serversIn((await system.readFile(`/proc/${pid}/root${await placeOf(system)}`)) ?? '');
}

async function placeOf(system: System): Promise<string> {
  if ((await system.stat(FILE))?.kind !== 'symlink') return FILE;
  const { stdout } = await system.run(command('readlink', '--canonicalize-missing', FILE));
  return stdout.trim();
}

function serversIn(text: string): string[] {
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '');
}

/** Every server is on loopback, which is the host's own. */
function isStub(text: string): boolean {
  const servers = serversIn(text);
  return servers.length > 0 && servers.every((server) => server.startsWith('127.') || server === '::1');
}
