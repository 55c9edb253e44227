// The chain of units of one repository: volume -> net -> docker -> repo. Per-instance values are drop-ins under
// /run/systemd/system, written before the chain is first started; what each unit does is in systemd/*.service.

import { command } from './command.ts';
import type { DaemonSettings } from './daemon.ts';
import { daemonConfig, daemonDropIn } from './daemon.ts';
import type { RepoFacts } from './facts.ts';
import { limitsDropIn } from './limits.ts';
import { namespaceDropIn } from './namespace.ts';
import type { Action, Step } from './step.ts';
import { remove, run, write } from './step.ts';
import type { RepoTarget } from './target.ts';
import type { UnitSections } from './unit-text.ts';
import { execLine, unitText } from './unit-text.ts';

export interface DeclaredFile {
  path: string;
  text: string;
}

export function dropInPath(runtimeUnitDir: string, unit: string): string {
  return `${runtimeUnitDir}/${unit}.d/10-rediacc.conf`;
}

/** Every file that the chain of this repository needs outside its volume. */
export function declaredFiles(target: RepoTarget, settings: DaemonSettings, runtimeUnitDir: string): DeclaredFile[] {
  const { units, net } = target;
  const dropIn = (unit: string, sections: UnitSections) => ({
    path: dropInPath(runtimeUnitDir, unit),
    text: unitText(sections),
  });
  return [
    dropIn(units.volume, volumeDropIn(target)),
    dropIn(units.net, namespaceDropIn(target, settings.ipv6)),
    dropIn(units.docker, daemonDropIn(target, settings)),
    dropIn(units.repo, [['Unit', [['Description', `services of repository ${target.name}`]]]]),
    dropIn(net.slice, limitsDropIn(settings.limits)),
    { path: net.dockerConfig, text: daemonConfig(target, settings) },
  ];
}

function volumeDropIn({ name, datastore, paths }: RepoTarget): UnitSections {
  return [
    [
      'Unit',
      [
        ['Description', `encrypted volume of repository ${name}`],
        ['RequiresMountsFor', datastore],
        // Orders our own closing before systemd's unmounting of what it finds mounted at shutdown.
        ['RequiresMountsFor', paths.mountPoint],
      ],
    ],
    [
      'Service',
      [
        ['ExecStart', ''],
        ['ExecStart', execLine(command('/usr/bin/mountpoint', '-q', paths.mountPoint))],
        ['ExecStop', execLine(command('/usr/bin/umount', paths.mountPoint), true)],
        ['ExecStop', execLine(command('/usr/sbin/cryptsetup', 'close', paths.mapping))],
      ],
    ],
  ];
}

/**
 * Writes what is missing or differs. systemd reads the files of a unit when it first hears of it, so a reload, which holds up
 * every other chain, is due only where it says so itself (facts.ts, needsReload).
 */
export function declareSteps(target: RepoTarget, files: readonly DeclaredFile[]): Step<RepoFacts>[] {
  return [
    {
      id: 'units.declare',
      title: 'declare the units',
      already: 'the units are declared',
      isDone: (facts) => facts.staleFiles.length === 0,
      changesUnitFiles: true,
      actions: (facts) => [...writeStale(files, facts), ...reloadDaemon(target, facts)],
    },
    {
      id: 'units.reload',
      title: 'have systemd read the units anew',
      already: 'systemd has read the units',
      isDone: (facts) => !facts.needsReload,
      changesUnitFiles: true,
      actions: () => [run(command('systemctl', 'daemon-reload'))],
    },
  ];
}

/** The same of a chain that may run, as one step. */
export function declareStep(target: RepoTarget, files: readonly DeclaredFile[]): Step<RepoFacts> {
  return {
    id: 'units.declare',
    title: 'declare the units',
    already: 'the units are declared',
    isDone: (facts) => facts.staleFiles.length === 0 && !facts.needsReload,
    changesUnitFiles: true,
    actions: (facts) => [
      ...writeStale(files, facts),
      run(command('systemctl', 'daemon-reload')),
      ...reloadDaemon(target, facts),
    ],
  };
}

function writeStale(files: readonly DeclaredFile[], { staleFiles }: RepoFacts): Action[] {
  return files.filter(({ path }) => staleFiles.includes(path)).map(({ path, text }) => write(path, text, 0o644));
}

/** A running daemon takes over changed mirrors without a restart. */
function reloadDaemon({ net, units }: RepoTarget, { units: states, staleFiles }: RepoFacts): Action[] {
  const isDue = states.docker.active === 'active' && staleFiles.includes(net.dockerConfig);
  return isDue ? [run(command('systemctl', 'reload', units.docker))] : [];
}

/**
 * After the chain has stopped: nothing of this repository stays behind in /run. No reload: the units are not loaded any more.
 * The runtime directory, which holds a declared file, goes last: until then it is seen that something is left.
 */
export function forgetStep(target: RepoTarget, files: readonly DeclaredFile[]): Step<RepoFacts> {
  const { runtimeDir, dockerSocket, slice } = target.net;
  const dropIns = files.filter(({ path }) => !path.startsWith(`${runtimeDir}/`));
  const chain = ['volume', 'net', 'docker', 'repo'] as const;
  // systemd remembers one that failed, as by a stop that took too long, until it is told to forget it.
  const failed = ({ units: states }: RepoFacts) =>
    chain.filter((kind) => states[kind].active === 'failed').map((kind) => target.units[kind]);
  return {
    id: 'units.forget',
    title: 'remove the runtime files',
    already: 'no runtime file is left',
    isDone: (facts) => facts.presentFiles.length === 0 && !facts.socketLeft && failed(facts).length === 0,
    actions: (facts) => [
      ...failed(facts).map((unit) => run({ ...command('systemctl', 'reset-failed', unit), allow: [1] })),
      ...dropIns.flatMap(({ path }) => [remove(path), remove(path.slice(0, path.lastIndexOf('/')))]),
      remove(dockerSocket),
      run(command('systemctl', 'stop', slice)),
      run(command('rm', '--recursive', '--force', '--one-file-system', '--', runtimeDir)),
    ],
  };
}

interface UnitStep {
  id: string;
  title: string;
  already: string;
  unit: string;
  state(facts: RepoFacts): string;
}

export function startUnitStep({ id, title, already, unit, state }: UnitStep): Step<RepoFacts> {
  return {
    id,
    title,
    already,
    isDone: (facts) => state(facts) === 'active',
    // A failed earlier start is forgotten, or systemd would count it towards its start limit.
    actions: (facts) => [
      ...(state(facts) === 'failed' ? [run(command('systemctl', 'reset-failed', unit))] : []),
      run({ ...command('systemctl', 'start', unit), timeoutMs: 180_000 }),
    ],
    settleMs: 5000,
    startsUnit: unit,
  };
}

export function stopUnitStep({ id, title, already, unit, state }: UnitStep): Step<RepoFacts> {
  return {
    id,
    title,
    already,
    isDone: (facts) => ['inactive', 'failed'].includes(state(facts)),
    actions: () => [run({ ...command('systemctl', 'stop', unit), timeoutMs: 400_000 })],
    settleMs: 5000,
  };
}
