// Whether the machine can hold repositories: one line per check, judged from facts. "missing" is what setup brings,
// "failed" is what only a person can change, "warning" works but should be known.
import type { System } from '../lifecycle/system.ts';
import type { Check, OutputOf } from '../protocol/operations.ts';
import { formatSize } from '../protocol/size.ts';
import { checkFirewall, type FirewallFacts, observeFirewall } from './firewall-facts.ts';
import { type HostFacts, missingNeeds, observeHost, observeServices, type ServiceState } from './host-facts.ts';
import {
  COMPOSE,
  DATASTORE_FLOOR_BYTES,
  KERNEL_FLOOR,
  KERNEL_TRIED,
  MODULES,
  NEEDS,
  SYSTEMD_FLOOR,
  SYSTEMD_TRIED,
} from './host-needs.ts';

type Verdict = Pick<Check, 'status' | 'found'> & { fix?: string };

/** Units of the host that are looked at, and never changed unless setup itself brought them. */
export const HOST_DOCKER_UNITS = ['docker.service', 'docker.socket', 'containerd.service'] as const;

export interface Preflight {
  host: HostFacts;
  services: Record<string, ServiceState>;
  firewall: FirewallFacts;
}

export async function observePreflight(system: System, datastore: string): Promise<Preflight> {
  const host = await observeHost(system, datastore);
  const names = [...HOST_DOCKER_UNITS, 'firewalld.service'];
  const services = host.pid1 === 'systemd' ? await observeServices(system, names) : {};
  return { host, services, firewall: await observeFirewall(system, host.programs, services) };
}

export async function preflight(system: System, datastore: string): Promise<OutputOf<'machine.preflight'>> {
  const checks = judge(await observePreflight(system, datastore));
  return { checks, fit: isFit(checks) };
}

/** Nothing stands in the way that setup could not change. */
export function isFit(checks: readonly Check[]): boolean {
  return checks.every((check) => check.status !== 'failed');
}

export function judge({ host, services, firewall }: Preflight): Check[] {
  const check = (id: string, title: string, verdict: Verdict): Check => ({ id, title, ...verdict });
  return [
    check('machine', 'machine', checkMachine(host)),
    check('kernel', 'kernel', checkKernel(host)),
    check('systemd', 'systemd', checkSystemd(host)),
    check('cgroup', 'cgroup v2', checkCgroup(host)),
    ...checkNeeds(host),
    check('encryption', 'dm-crypt with aes-xts', checkModules(host, MODULES.encryption)),
    check('loop', 'loop devices', checkModules(host, MODULES.loop)),
    check(
      'modules',
      'other kernel modules',
      checkModules(host, [...MODULES.network, ...MODULES.containers, ...MODULES.volume]),
    ),
    check('netns', 'network namespaces', checkNetns(host)),
    check('datastore', 'free space for the datastore', checkDisk(host)),
    check('host-docker', "the host's own docker", checkHostDocker(services)),
    checkFirewall(firewall),
    check('sudo', 'sudo rule', checkSudo(host)),
  ];
}

function checkMachine({ container }: HostFacts): Verdict {
  if (container === undefined) return { status: 'ok', found: 'not a container' };
  const fix = 'use a physical or a virtual machine: containers have no device-mapper of their own';
  return { status: 'failed', found: `a container (${container})`, fix };
}

function checkKernel({ kernel, hasModuleTree, modules }: HostFacts): Verdict {
  if (isOlder(kernel, KERNEL_FLOOR)) {
    return {
      status: 'failed',
      found: kernel,
      fix: `Linux ${KERNEL_FLOOR.join('.')} or newer (the guard needs nft sets with ranges)`,
    };
  }
  // A kernel with everything built in needs no module tree.
  if (!hasModuleTree && Object.values(modules).some((state) => state === 'missing')) {
    return {
      status: 'failed',
      found: `${kernel}, its modules are gone`,
      fix: 'reboot: a newer kernel has been installed',
    };
  }
  if (isOlder(kernel, KERNEL_TRIED)) {
    return { status: 'warning', found: kernel, fix: `tried with Linux ${KERNEL_TRIED.join('.')} and newer` };
  }
  return { status: 'ok', found: kernel };
}

function isOlder(release: string, [major, minor]: readonly [number, number]): boolean {
  const [ourMajor = 0, ourMinor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return ourMajor < major || (ourMajor === major && ourMinor < minor);
}

function checkSystemd({ pid1, systemdVersion }: HostFacts): Verdict {
  if (pid1 !== 'systemd' || systemdVersion === undefined) {
    return { status: 'failed', found: `process 1 is "${pid1}"`, fix: 'a machine that runs systemd' };
  }
  if (systemdVersion < SYSTEMD_FLOOR) {
    return {
      status: 'failed',
      found: String(systemdVersion),
      fix: `systemd ${SYSTEMD_FLOOR} or newer (NetworkNamespacePath=)`,
    };
  }
  if (systemdVersion < SYSTEMD_TRIED) {
    return { status: 'warning', found: String(systemdVersion), fix: `tried with systemd ${SYSTEMD_TRIED} and newer` };
  }
  return { status: 'ok', found: String(systemdVersion) };
}

function checkCgroup({ cgroupControllers }: HostFacts): Verdict {
  const fix = 'boot with the unified hierarchy: kernel parameter systemd.unified_cgroup_hierarchy=1';
  if (cgroupControllers === undefined) return { status: 'failed', found: 'the older hierarchy (v1 or hybrid)', fix };
  const absent = ['cpu', 'memory', 'pids'].filter((name) => !cgroupControllers.includes(name));
  return absent.length === 0
    ? { status: 'ok', found: 'unified' }
    : { status: 'warning', found: `without ${absent.join(', ')}`, fix: 'limits of repositories will not hold' };
}

function checkNeeds(host: HostFacts): Check[] {
  const missing = new Set(missingNeeds(host).map((need) => need.id));
  return [...NEEDS, COMPOSE].map((need) => {
    const base = { id: need.id, title: need.title };
    if (missing.has(need.id)) {
      const names = need.programs.filter((name) => host.programs[name] === undefined);
      const found = names.length === 0 ? 'not installed' : `not installed: ${names.join(', ')}`;
      return { ...base, status: 'missing', found, fix: 'setup installs it' };
    }
    const found =
      need.id === COMPOSE.id ? (host.composeVersion ?? '') : (host.programs[need.programs[0] ?? ''] ?? 'installed');
    return { ...base, status: 'ok', found };
  });
}

function checkModules({ modules }: HostFacts, names: readonly string[]): Verdict {
  const missing = names.filter((name) => modules[name] === 'missing');
  if (missing.length === 0) return { status: 'ok', found: names.join(', ') };
  const fix = 'a kernel with these modules (a cloud or minimal kernel may have them in a package of extra modules)';
  return { status: 'failed', found: `not there: ${missing.join(', ')}`, fix };
}

function checkNetns({ netnsUsable }: HostFacts): Verdict {
  return netnsUsable
    ? { status: 'ok', found: '/run/netns' }
    : {
        status: 'failed',
        found: '/run/netns is not a directory',
        fix: 'remove it: ip-netns(8) keeps namespaces there',
      };
}

function checkDisk({ disk }: HostFacts): Verdict {
  const found = `${formatSize(disk.freeBytes)} free on ${disk.filesystem}`;
  if (['tmpfs', 'ramfs', 'overlay', 'squashfs'].includes(disk.filesystem)) {
    return {
      status: 'failed',
      found,
      fix: 'a datastore on a disk: what lies here is gone after a reboot, or cannot be written',
    };
  }
  if (['nfs', 'nfs4', 'cifs', 'fuse.sshfs'].includes(disk.filesystem)) {
    return { status: 'warning', found, fix: 'images on a network filesystem are untried' };
  }
  return disk.freeBytes < DATASTORE_FLOOR_BYTES
    ? { status: 'warning', found, fix: 'hardly any repository fits: free some space or take another disk' }
    : { status: 'ok', found };
}

function checkHostDocker(services: Record<string, ServiceState>): Verdict {
  const running = HOST_DOCKER_UNITS.filter((name) => services[name]?.active === 'active');
  const found = running.length === 0 ? 'not running' : `running (${running.join(', ')}): it is left alone`;
  return { status: 'ok', found };
}

function checkSudo({ sudoers, programs }: HostFacts): Verdict {
  if (sudoers !== undefined) return { status: 'ok', found: '/etc/sudoers.d/rediacc' };
  return programs.sudo === undefined
    ? { status: 'ok', found: 'no sudo here: only root can log in' }
    : { status: 'missing', found: 'none yet', fix: 'setup writes it for the login name, unless that is root' };
}
