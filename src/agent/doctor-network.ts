// The network of repositories, as doctor looks at it: the guard, the name servers, and from inside an open namespace
// the way to these and to the registry mirrors.
import { isIPv4 } from 'node:net';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import type { Check } from '../protocol/operations.ts';
import type { OpenRepo } from './doctor-repositories.ts';
import { observeGuard } from './guard-state.ts';
import { GUARD_FILE, networkNames, unitNames } from './layout.ts';
import type { MachineRecord } from './machine-record.ts';
import { resolveMirrors } from './registry-mirrors.ts';
import { nameServers, nameServersOf } from './resolv-conf.ts';

/** Seconds that an answer may take. */
const PATIENCE = '10';
/** $1 the server: asks for the name servers of the root (RFC 1035, section 4); any answer will do. */
const ASK_NAMES = `exec 3<>"/dev/udp/$1/53" && printf 'rd\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\0\\0\\2\\0\\1' >&3 && head -c 1 <&3`;
const CONNECT = 'exec 3<>"/dev/tcp/$1/$2"';

export async function examineNetwork(
  system: System,
  machine: MachineRecord,
  repos: readonly OpenRepo[],
): Promise<Check[]> {
  const servers = await nameServers(system);
  const usable = servers.filter((server) => isIPv4(server) && !server.startsWith('127.'));
  const open = await findOpen(system, repos);
  return [
    await checkGuard(system, repos),
    checkNameServers(servers, usable),
    ...(await checkDaemonsNames(system, repos, servers)),
    ...(open === undefined
      ? []
      : [await checkOutbound(system, open, usable), ...(await checkMirrors(system, open, machine))]),
  ];
}

async function findOpen(system: System, repos: readonly OpenRepo[]): Promise<OpenRepo | undefined> {
  for (const repo of repos) {
    if ((await system.stat(networkNames(repo.networkId).namespacePath)) !== undefined) return repo;
  }
  return undefined;
}

async function checkGuard(system: System, repos: readonly OpenRepo[]): Promise<Check> {
  const about = { id: 'guard', title: 'guard' };
  const { links, faults } = await observeGuard(system, (await system.readFile(GUARD_FILE)) ?? '');
  if (links.length === 0) return { ...about, status: 'ok', found: 'not needed: no repository is running' };
  if (faults.length === 0) return { ...about, status: 'ok', found: 'table, forwarding and sources are in place' };
  const one = repos.find(({ networkId }) => links.includes(networkNames(networkId).hostLink));
  return { ...about, status: 'failed', found: faults.join(', '), fix: `rdc repo up ${one?.name ?? 'NAME'}` };
}

function checkNameServers(servers: readonly string[], usable: readonly string[]): Check {
  const about = { id: 'resolv-conf', title: 'name servers' };
  if (usable.length > 0) return { ...about, status: 'ok', found: usable.join(', ') };
  return {
    ...about,
    status: 'failed',
    found: `repositories reach none of: ${servers.join(', ') || '(none)'}`,
    fix: 'name an IPv4 server that is not on loopback in /etc/resolv.conf, or use systemd-resolved',
  };
}

/** A daemon keeps the file that it started with where that lies below /run (systemd.exec(5), BindReadOnlyPaths=). */
async function checkDaemonsNames(
  system: System,
  repos: readonly OpenRepo[],
  servers: readonly string[],
): Promise<Check[]> {
  const stale: { name: string; asks: string }[] = [];
  for (const { name, guid } of repos) {
    const { stdout } = await system.run(
      command('systemctl', 'show', '--property=MainPID', '--value', unitNames(guid).docker),
    );
    const pid = Number(stdout);
    if (!Number.isInteger(pid) || pid === 0) continue;
    const asks = (await nameServersOf(system, pid)).join(', ');
    if (asks !== servers.join(', ')) stale.push({ name, asks: asks || 'none' });
  }
  const [first] = stale;
  if (first === undefined) return [];
  const found = stale.map(({ name, asks }) => `"${name}" was started with: ${asks}`).join('; ');
  const fix = `rdc repo down ${first.name} --unmount, then rdc repo up ${first.name}`;
  return [{ id: 'stale-names', title: 'name servers of daemons', status: 'failed', found, fix }];
}

async function checkOutbound(system: System, repo: OpenRepo, servers: readonly string[]): Promise<Check> {
  const about = { id: 'outbound', title: 'way out of a namespace' };
  const tried: string[] = [];
  for (const server of servers) {
    if (await works(system, repo, ASK_NAMES, server)) {
      return { ...about, status: 'ok', found: `"${repo.name}" gets answers from ${server}` };
    }
    tried.push(server);
  }
  const found = `"${repo.name}" gets no answer from ${tried.join(', ') || 'any name server'}`;
  return { ...about, status: 'failed', found, fix: `rdc repo up ${repo.name}` };
}

async function checkMirrors(system: System, repo: OpenRepo, { registryMirrors }: MachineRecord): Promise<Check[]> {
  const checks: Check[] = [];
  for (const url of registryMirrors) {
    const about = { id: 'mirror', title: 'registry mirror' };
    const found = await reaches(system, repo, url);
    checks.push(
      found === undefined
        ? { ...about, status: 'ok', found: `${url}, from "${repo.name}"` }
        : { ...about, status: 'failed', found, fix: `curl ${url}/v2/` },
    );
  }
  return checks;
}

/** undefined: it does. Else why not. */
async function reaches(system: System, repo: OpenRepo, url: string): Promise<string | undefined> {
  try {
    for (const { address, port } of await resolveMirrors(system, [url])) {
      if (await works(system, repo, CONNECT, address, String(port))) return undefined;
    }
  } catch (error) {
    if (!(error instanceof RdcError)) throw error;
    return error.message;
  }
  return `"${repo.name}" does not reach ${url}`;
}

/** bash(1) opens connections by itself, so that the machine needs no further program. */
async function works(system: System, repo: OpenRepo, script: string, ...words: string[]): Promise<boolean> {
  const { namespacePath } = networkNames(repo.networkId);
  const inside = ['timeout', PATIENCE, 'bash', '-c', script, 'doctor', ...words];
  // 124: timeout(1); the others are bash's and head's own.
  const { exitCode, stdout } = await system.run({
    ...command('nsenter', `--net=${namespacePath}`, ...inside),
    allow: [1, 2, 124],
  });
  return exitCode === 0 && (script === CONNECT || stdout !== '');
}
