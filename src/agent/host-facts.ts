// What is true of the machine itself, read without changing anything. Judged by preflight.ts.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { ALL_MODULES, COMPOSE, NEEDS, type Need, POOL_NEEDS, PROGRAM_PATH } from './host-needs.ts';

export interface Disk {
  filesystem: string;
  totalBytes: number;
  freeBytes: number;
}

export interface ServiceState {
  /** ActiveState: active, inactive, … */
  active: string;
  /** UnitFileState: enabled, disabled, masked, static; "" where there is no unit file. */
  enabled: string;
  loaded: boolean;
  needsReload: boolean;
}

export type ModuleState = 'loaded' | 'loadable' | 'missing';

export interface HostFacts {
  kernel: string;
  /** /lib/modules of the running kernel is there: an upgrade that awaits its reboot may have taken it away. */
  hasModuleTree: boolean;
  /** "lxc", "docker", …: the machine is itself a container. */
  container: string | undefined;
  pid1: string;
  systemdVersion: number | undefined;
  cgroupControllers: string[] | undefined;
  /** Where each known program was found. */
  programs: Record<string, string>;
  /** Files of the needs that are no programs. */
  files: string[];
  composeVersion: string | undefined;
  modules: Record<string, ModuleState>;
  /** The nearest existing directory's filesystem. */
  disk: Disk;
  netnsUsable: boolean;
  sudoers: string | undefined;
}

export async function observeHost(system: System, datastore: string): Promise<HostFacts> {
  const kernel = ((await system.readFile('/proc/sys/kernel/osrelease')) ?? '').trim();
  const programs = await findPrograms(system);
  const [container, pid1, controllers, netns, sudoers, files, modules, disk] = await Promise.all([
    system.readFile('/run/systemd/container'),
    system.readFile('/proc/1/comm'),
    system.readFile('/sys/fs/cgroup/cgroup.controllers'),
    system.stat('/run/netns'),
    system.readFile('/etc/sudoers.d/rediacc'),
    presentFiles(system),
    observeModules(system, kernel, programs),
    observeDisk(system, datastore),
  ]);
  return {
    kernel,
    hasModuleTree: (await system.stat(`/lib/modules/${kernel}`)) !== undefined,
    container: container?.trim(),
    pid1: (pid1 ?? '').trim(),
    systemdVersion: await systemdVersion(system),
    cgroupControllers: controllers?.trim().split(' '),
    programs,
    files,
    composeVersion: programs.docker === undefined ? undefined : await composeVersion(system),
    modules,
    disk,
    netnsUsable: netns === undefined || netns.kind === 'directory',
    sudoers,
  };
}

/** Needs whose programs or files are not all there. */
export function missingNeeds(facts: HostFacts, extra: readonly Need[] = []): Need[] {
  const has = (need: Need) =>
    need.id === COMPOSE.id
      ? facts.composeVersion !== undefined
      : need.programs.every((name) => facts.programs[name] !== undefined) &&
        (need.anyFile === undefined || need.anyFile.some((file) => facts.files.includes(file)));
  return [...NEEDS, COMPOSE, ...extra].filter((need) => !has(need));
}

async function findPrograms(system: System): Promise<Record<string, string>> {
  const names = [...NEEDS, ...Object.values(POOL_NEEDS)].flatMap((need) => need.programs);
  const extra = ['apt-get', 'dnf', 'zypper', 'visudo', 'sudo', 'NetworkManager', 'dhcpcd', 'ufw', 'firewall-cmd'];
  const found: Record<string, string> = {};
  for (const name of [...names, ...extra]) {
    const path = await findProgram(system, name);
    if (path !== undefined) found[name] = path;
  }
  return found;
}

export async function findProgram(system: System, name: string): Promise<string | undefined> {
  for (const directory of PROGRAM_PATH) {
    const stat = await system.stat(`${directory}/${name}`);
    if (stat !== undefined && stat.kind !== 'directory') return `${directory}/${name}`;
  }
  return undefined;
}

async function presentFiles(system: System): Promise<string[]> {
  const wanted = NEEDS.flatMap((need) => need.anyFile ?? []);
  const stats = await Promise.all(wanted.map((path) => system.stat(path)));
  return wanted.filter((_, index) => stats[index] !== undefined);
}

/** Loaded or built in: /sys/module and modules.builtin; loadable: modprobe(8) would find it. */
async function observeModules(
  system: System,
  kernel: string,
  programs: Record<string, string>,
): Promise<Record<string, ModuleState>> {
  const builtin = (await system.readFile(`/lib/modules/${kernel}/modules.builtin`)) ?? '';
  const states: Record<string, ModuleState> = {};
  for (const name of ALL_MODULES) {
    const isBuiltIn = builtin.includes(`/${name}.ko`) || builtin.includes(`/${name.replaceAll('_', '-')}.ko`);
    const isLoaded = isBuiltIn || (await system.stat(`/sys/module/${name}`)) !== undefined;
    states[name] = isLoaded ? 'loaded' : (await isLoadable(system, name, programs)) ? 'loadable' : 'missing';
  }
  return states;
}

async function isLoadable(system: System, name: string, programs: Record<string, string>): Promise<boolean> {
  // Setup brings modprobe and then loads them, which tells.
  if (programs.modprobe === undefined) return true;
  const look = { ...command('modprobe', '--dry-run', '--quiet', name), allow: [1] };
  return (await system.run(look)).exitCode === 0;
}

/** "systemd 257 (257.13-1~deb13u1)" */
async function systemdVersion(system: System): Promise<number | undefined> {
  const { stdout } = await system.run(command('systemctl', '--version'));
  const version = /^systemd (\d+)/.exec(stdout)?.[1];
  return version === undefined ? undefined : Number(version);
}

/** "2.26.1", also as "v2.26.1" or with a distribution's suffix; undefined where there is no plugin or an older one. */
async function composeVersion(system: System): Promise<string | undefined> {
  const ask = { ...command('docker', 'compose', 'version', '--short'), allow: [1, 125] };
  const { exitCode, stdout } = await system.run(ask);
  const version = /^v?(\d+)\.\S+/.exec(stdout.trim());
  return exitCode === 0 && version !== null && Number(version[1]) >= 2 ? version[0].replace(/^v/, '') : undefined;
}

/** df(1) of the path itself or of what exists of it. */
export async function observeDisk(system: System, path: string): Promise<Disk> {
  let existing = path;
  while (existing !== '/' && (await system.stat(existing)) === undefined) {
    existing = existing.slice(0, existing.lastIndexOf('/')) || '/';
  }
  const { stdout } = await system.run(command('df', '--block-size=1', '--output=fstype,size,avail', existing));
  const [filesystem = '', total = '0', free = '0'] = (stdout.trim().split('\n').at(-1) ?? '').trim().split(/\s+/);
  return { filesystem, totalBytes: Number(total), freeBytes: Number(free) };
}

/** systemctl show of several units at once, by name. */
export async function observeServices(system: System, names: readonly string[]): Promise<Record<string, ServiceState>> {
  const properties = '--property=Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload';
  const { stdout } = await system.run(command('systemctl', 'show', properties, ...names));
  const blocks = stdout.trim().split('\n\n');
  return Object.fromEntries(names.map((name, index) => [name, parseService(blocks[index] ?? '')]));
}

function parseService(text: string): ServiceState {
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  return {
    active: value('ActiveState') || 'inactive',
    enabled: value('UnitFileState'),
    loaded: value('LoadState') === 'loaded',
    needsReload: value('NeedDaemonReload') === 'yes',
  };
}
