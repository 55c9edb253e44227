// Which packages bring what is missing, by the distribution's own package manager, and whether installing them would
// touch the docker that the host runs. Rules: only what is missing is installed; nothing is upgraded on the way.
import { type Command, command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { HostFacts } from './host-facts.ts';
import { COMPOSE, type Need, type PackageManager } from './host-needs.ts';

export interface PackageFacts {
  manager: PackageManager | undefined;
  missing: readonly Need[];
  /** Chosen package by the id of the need; absent where the distribution offers none that is good enough. */
  chosen: Record<string, string>;
  /** Packages of the host's docker that the installation would change: upgrade or remove. */
  wouldChange: string[];
}

const INSTALL_TIMEOUT_MS = 20 * 60_000;
/** Debian's and Ubuntu's docker, and Docker's own packages. */
const HOST_DOCKER = /^(docker|moby|containerd|runc)/;

export function packageManager({ programs }: HostFacts): PackageManager | undefined {
  if (programs['apt-get'] !== undefined) return 'apt';
  if (programs.dnf !== undefined) return 'dnf';
  return programs.zypper === undefined ? undefined : 'zypper';
}

export async function observePackages(
  system: System,
  host: HostFacts,
  missing: readonly Need[],
): Promise<PackageFacts> {
  const manager = packageManager(host);
  if (manager === undefined || missing.length === 0) return { manager, missing, chosen: {}, wouldChange: [] };
  const offered = manager === 'apt' ? await aptCandidates(system, missing) : undefined;
  const chosen: Record<string, string> = {};
  for (const need of missing) {
    const name = need.packages[manager].find((candidate) => isGoodEnough(need, candidate, offered));
    if (name !== undefined) chosen[need.id] = name;
  }
  const wouldChange = manager === 'apt' ? await aptWouldChange(system, namesOf(chosen)) : [];
  return { manager, missing, chosen, wouldChange };
}

export function packageNames({ chosen }: PackageFacts): string[] {
  return namesOf(chosen);
}

/** Without asking the distribution, as for the text of a refusal. */
export function wantedNames({ missing, manager }: PackageFacts): string[] {
  return [...new Set(missing.map((need) => need.packages[manager ?? 'apt'][0] ?? need.id))];
}

export function refreshLists(): Command {
  return { ...command('apt-get', 'update'), env: APT_ENV, timeoutMs: INSTALL_TIMEOUT_MS };
}

export function installPackages(manager: PackageManager, names: readonly string[]): Command {
  const timeoutMs = INSTALL_TIMEOUT_MS;
  switch (manager) {
    case 'apt':
      return { ...command('apt-get', ...APT_INSTALL, '--yes', ...names), env: APT_ENV, timeoutMs };
    case 'dnf':
      return { ...command('dnf', 'install', '--assumeyes', '--setopt=install_weak_deps=False', ...names), timeoutMs };
    case 'zypper':
      return { ...command('zypper', '--non-interactive', 'install', '--no-recommends', ...names), timeoutMs };
  }
}

/** needrestart would restart services that have nothing to do with us, docker among them. */
const APT_ENV = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1' };
const APT_INSTALL = [
  'install',
  '--no-install-recommends',
  '--no-upgrade',
  '--no-remove',
  '--option=Dpkg::Options::=--force-confold',
  '--option=DPkg::Lock::Timeout=300',
] as const;

function namesOf(chosen: Record<string, string>): string[] {
  return [...new Set(Object.values(chosen))].sort();
}

function isGoodEnough(need: Need, name: string, offered: Map<string, string> | undefined): boolean {
  if (offered === undefined) return true;
  const version = offered.get(name);
  if (version === undefined) return false;
  // Debian 12 and Ubuntu 22.04 have version 1 under this name: a program of its own that knows no `docker compose`.
  return need.id !== COMPOSE.id || Number.parseInt(version.replace(/^\d+:/, ''), 10) >= 2;
}

/** Candidate versions of `apt-cache policy`; "(none)" and unknown packages are left out. */
async function aptCandidates(system: System, missing: readonly Need[]): Promise<Map<string, string>> {
  const names = [...new Set(missing.flatMap((need) => need.packages.apt))];
  const { stdout } = await system.run(command('apt-cache', 'policy', ...names));
  return parseAptPolicy(stdout);
}

export function parseAptPolicy(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name = '', version = ''] of text.matchAll(/^(\S+):\n {2}Installed: .*\n {2}Candidate: (\S+)$/gm)) {
    if (version !== '(none)') found.set(name, version);
  }
  return found;
}

/** `apt-get --simulate` prints "Inst NAME [OLD] (NEW …)" for an upgrade and "Remv NAME [OLD]". */
async function aptWouldChange(system: System, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  // Exit 100: it cannot be installed as things are; the installation itself will say so, with apt's own words.
  const simulate = { ...command('apt-get', ...APT_INSTALL, '--simulate', ...names), env: APT_ENV, allow: [100] };
  return parseAptChanges((await system.run(simulate)).stdout).filter((name) => HOST_DOCKER.test(name));
}

export function parseAptChanges(text: string): string[] {
  return [...text.matchAll(/^(?:Inst|Remv) (\S+) \[/gm)].map((match) => match[1] ?? '');
}
