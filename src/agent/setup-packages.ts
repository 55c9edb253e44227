// First stage of setup: install what is missing. Rules: the host's own docker is neither started, restarted nor
// changed; where docker comes in with us, its services are kept from starting and left disabled, for the repositories
// run daemons of their own.
import { command } from '../lifecycle/command.ts';
import type { Step } from '../lifecycle/step.ts';
import { makeDirectory, remove, run, write } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import { type HostFacts, missingNeeds, observeHost, observeServices, type ServiceState } from './host-facts.ts';
import { ALL_MODULES, type Need } from './host-needs.ts';
import { CONFIG_DIR } from './layout.ts';
import {
  installPackages,
  observePackages,
  type PackageFacts,
  packageNames,
  refreshLists,
  wantedNames,
} from './packages.ts';
import { HOST_DOCKER_UNITS } from './preflight.ts';

/** Names of the units that this setup holds back: read again after a crash, gone when they are released. */
const HELD_FILE = `${CONFIG_DIR}/held-units`;
/** Milliseconds since the epoch at which the package lists were refreshed; gone after a reboot. */
const LISTS_FILE = '/run/rediacc-package-lists';
const LISTS_FRESH_MS = 60 * 60_000;

export interface PackageStageFacts {
  host: HostFacts;
  packages: PackageFacts;
  services: Record<string, ServiceState>;
  held: string[];
  listsAgeMs: number;
  now: number;
}

export interface PackageStage {
  datastore: string;
  /** Beyond what every machine needs: the tools of a pool's filesystem. */
  extraNeeds: readonly Need[];
  /** Milliseconds since the epoch. */
  now(): number;
}

export async function observePackageStage(system: System, stage: PackageStage): Promise<PackageStageFacts> {
  const host = await observeHost(system, stage.datastore);
  const held = ((await system.readFile(HELD_FILE)) ?? '').split('\n').filter((name) => name !== '');
  const refreshed = await system.readFile(LISTS_FILE);
  return {
    host,
    packages: await observePackages(system, host, missingNeeds(host, stage.extraNeeds)),
    services: await observeServices(system, HOST_DOCKER_UNITS),
    held,
    listsAgeMs: refreshed === undefined ? Number.POSITIVE_INFINITY : stage.now() - Number(refreshed),
    now: stage.now(),
  };
}

export function packageSteps(): Step<PackageStageFacts>[] {
  return [refreshStep(), holdStep(), installStep(), releaseStep(), modulesStep()];
}

function refreshStep(): Step<PackageStageFacts> {
  return {
    id: 'packages.lists',
    title: 'refresh the package lists',
    already: 'nothing is missing, or they are fresh',
    guard: requireManager,
    isDone: (facts) => facts.packages.missing.length === 0 || listsAreFresh(facts),
    actions: ({ now }) => [run(refreshLists()), write(LISTS_FILE, String(now), 0o644)],
  };
}

/** A masked unit does not start when its package is installed (deb-systemd-invoke(1p)). */
function holdStep(): Step<PackageStageFacts> {
  return {
    id: 'docker.hold',
    title: 'keep the docker services from starting while docker is installed',
    already: 'no docker service is about to be installed',
    isDone: (facts) =>
      !bringsDocker(facts) ||
      absentUnits(facts).every((name) => facts.held.includes(name) && facts.services[name]?.enabled === 'masked'),
    actions: (facts) => [
      makeDirectory(CONFIG_DIR, 0o755),
      write(HELD_FILE, `${[...new Set([...facts.held, ...absentUnits(facts)])].join('\n')}\n`, 0o644),
      run(command('systemctl', 'mask', ...absentUnits(facts))),
    ],
  };
}

function installStep(): Step<PackageStageFacts> {
  return {
    id: 'packages.install',
    title: 'install what is missing',
    already: 'everything needed is installed',
    isDone: ({ packages }) => packages.missing.length === 0,
    actions: (facts) => {
      // A dry run on lists that are out of date cannot tell what there is.
      if (listsAreFresh(facts)) refuse(facts);
      return [run(installPackages(facts.packages.manager ?? 'apt', namesToInstall(facts)))];
    },
    explain: (error, { packages }) =>
      error instanceof RdcError && error.code === 'COMMAND_FAILED'
        ? new RdcError('HOST_NOT_SUITABLE', `could not install ${packageNames(packages).join(', ')}`, {
            hint: "install them with the machine's package manager, then run setup again",
            cause: error,
          })
        : error,
  };
}

function releaseStep(): Step<PackageStageFacts> {
  return {
    id: 'docker.release',
    title: "leave the machine's own docker services installed and switched off",
    already: 'no docker service is held back',
    isDone: ({ held }) => held.length === 0,
    actions: ({ held }) => [
      run(command('systemctl', 'unmask', ...held)),
      run({ ...command('systemctl', 'disable', ...held), allow: [1] }),
      remove(HELD_FILE),
    ],
  };
}

/** Loading them now shows what a first use would otherwise find out: a module that is there and does not load. */
function modulesStep(): Step<PackageStageFacts> {
  const waiting = ({ host }: PackageStageFacts) => ALL_MODULES.filter((name) => host.modules[name] === 'loadable');
  return {
    id: 'modules.load',
    title: 'load the kernel modules',
    already: 'the kernel modules are loaded',
    isDone: (facts) => waiting(facts).length === 0,
    actions: (facts) => [run(command('modprobe', '--all', ...waiting(facts)))],
  };
}

function listsAreFresh({ packages, listsAgeMs }: PackageStageFacts): boolean {
  return packages.manager !== 'apt' || listsAgeMs < LISTS_FRESH_MS;
}

function bringsDocker({ packages }: PackageStageFacts): boolean {
  return packages.manager === 'apt' && packages.missing.some((need) => need.id === 'docker');
}

/** Units that come only with the packages: what the host has already is not ours to hold. */
function absentUnits({ services, held }: PackageStageFacts): string[] {
  return HOST_DOCKER_UNITS.filter((name) => held.includes(name) || services[name]?.enabled === '');
}

function namesToInstall({ packages }: PackageStageFacts): string[] {
  const names = packageNames(packages);
  return names.length > 0 ? names : wantedNames(packages);
}

function requireManager({ packages }: PackageStageFacts): void {
  if (packages.missing.length === 0 || packages.manager !== undefined) return;
  throw new RdcError('HOST_NOT_SUITABLE', `this machine lacks ${wantedNames(packages).join(', ')}`, {
    hint: 'its package manager is not one that setup knows (apt, dnf, zypper): install them yourself, then run setup again',
  });
}

function refuse({ packages }: PackageStageFacts): void {
  const absent = packages.missing.filter((need) => packages.chosen[need.id] === undefined);
  if (absent.length > 0) {
    throw new RdcError(
      'HOST_NOT_SUITABLE',
      `the machine's distribution has no package for ${absent.map((need) => need.title).join(', ')}`,
      {
        hint: `add a repository that has ${absent.map((need) => need.packages.apt[0] ?? need.id).join(', ')} (https://docs.docker.com/engine/install), or use a newer release of the distribution`,
      },
    );
  }
  if (packages.wouldChange.length === 0) return;
  throw new RdcError(
    'HOST_NOT_SUITABLE',
    `installing ${packageNames(packages).join(', ')} would change the machine's own ${packages.wouldChange.join(', ')}`,
    {
      hint: 'install them yourself at a moment of your choice, then run setup again',
    },
  );
}
