// Second stage of setup, as convergent steps: datastore, small files, firewalls, and last the machine's record. Rules:
// nothing of the host's docker or firewall is touched but for one rule in the place that it offers; a second setup
// with the same request finds everything done.
import refreshUnit from '../../systemd/rediacc-guard-refresh.service';
import { command } from '../lifecycle/command.ts';
import type { Step } from '../lifecycle/step.ts';
import { makeDirectory, run, write } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { firewallRuleSteps } from './firewall-rules.ts';
import { CONFIG_DIR, MACHINE_FILE, UNIT_DIR } from './layout.ts';
import { type MachineRecord, machineText } from './machine-record.ts';
import { datastoreDirectories, directoriesStep, mountUnitName, POOL_IMAGE, poolSteps } from './setup-datastore.ts';
import { observeSetup, type SetupFacts } from './setup-facts.ts';
import {
  datastoreDropIn,
  dhcpcdFile,
  fileStep,
  guardFile,
  networkdFile,
  networkManagerFile,
  REFRESH_UNIT,
  type SetupFile,
  sudoersFile,
} from './setup-files.ts';
import type { SetupRequest } from './setup-request.ts';

/** Which network managers the machine has; dhcpcd by its configuration. */
export interface NetworkManagers {
  networkManager: boolean;
  networkd: boolean;
  dhcpcdConf: string | undefined;
}

export interface SetupPlan {
  steps: Step<SetupFacts>[];
  observe(system: System): Promise<SetupFacts>;
}

export interface SetupCircumstances {
  managers: NetworkManagers;
  /** Programs of the machine by name, as host-facts.ts found them. */
  programs: Readonly<Record<string, string>>;
  /** ISO 8601. */
  now: string;
}

export function planSetup(request: SetupRequest, { managers, programs, now }: SetupCircumstances): SetupPlan {
  const { datastore, pool } = request;
  const sudo = request.sudo === undefined ? [] : [sudoersFile(request.sudo.user, request.sudo.existing)];
  const files = setupFiles(request, managers);
  const mountUnit = mountUnitName(datastore);
  return {
    steps: [
      ...(pool === undefined ? [] : poolSteps(datastore, pool)),
      directoriesStep(datastore),
      ...files.map(fileStep),
      refreshStep(),
      ...firewallRuleSteps(),
      ...sudo.map(fileStep),
      recordStep(recordOf(request, now)),
    ],
    observe: (system) =>
      observeSetup(system, {
        datastore,
        poolImage: POOL_IMAGE,
        files: [...[...files, ...sudo].map(({ path }) => path), `${UNIT_DIR}/${mountUnit}`],
        directories: [datastore, ...datastoreDirectories(datastore).map(({ path }) => path)],
        services: [
          mountUnit,
          'rediacc-guard.service',
          REFRESH_UNIT,
          'NetworkManager.service',
          'systemd-networkd.service',
          'dhcpcd.service',
        ],
        programs,
      }),
  };
}

export async function observeManagers(
  system: System,
  programs: Readonly<Record<string, string>>,
): Promise<NetworkManagers> {
  const networkd = await Promise.all(
    ['/usr/lib/systemd/systemd-networkd', '/lib/systemd/systemd-networkd'].map((path) => system.stat(path)),
  );
  return {
    networkManager: programs.NetworkManager !== undefined,
    networkd: networkd.some((stat) => stat !== undefined),
    dhcpcdConf: programs.dhcpcd === undefined ? undefined : await system.readFile('/etc/dhcpcd.conf'),
  };
}

function setupFiles({ datastore, guard }: SetupRequest, managers: NetworkManagers): SetupFile[] {
  return [
    datastoreDropIn(datastore),
    ...(managers.networkManager ? [networkManagerFile()] : []),
    ...(managers.networkd ? [networkdFile()] : []),
    ...(managers.dhcpcdConf === undefined ? [] : [dhcpcdFile(managers.dhcpcdConf)]),
    guardFile(guard),
    refreshFile(),
  ];
}

function refreshFile(): SetupFile {
  return {
    id: 'guard.refresh-unit',
    title: 'write the unit that renews the guard',
    already: 'the unit that renews the guard is written',
    path: `${UNIT_DIR}/${REFRESH_UNIT}`,
    text: refreshUnit,
    mode: 0o644,
  };
}

function refreshStep(): Step<SetupFacts> {
  return {
    id: 'guard.refresh',
    title: 'renew the guard whenever docker or nftables starts',
    already: 'the guard is renewed whenever docker or nftables starts',
    isDone: ({ services }) => services[REFRESH_UNIT]?.enabled === 'enabled' && !services[REFRESH_UNIT].needsReload,
    actions: ({ services }) => [
      ...(services[REFRESH_UNIT]?.needsReload ? [run(command('systemctl', 'daemon-reload'))] : []),
      run(command('systemctl', 'enable', '--quiet', REFRESH_UNIT)),
    ],
  };
}

function recordOf({ datastore, pool, registryMirrors, guard, before }: SetupRequest, now: string): MachineRecord {
  return {
    ...before,
    version: 1,
    datastore,
    registryMirrors,
    ...(pool === undefined ? {} : { pool }),
    forwardingWasOff: guard.forwardingWasOff,
    forwarding6WasOff: guard.forwarding6WasOff,
    setUpAt: before?.setUpAt ?? now,
  };
}

/** The last step: a machine that has a record is set up. */
function recordStep(wanted: MachineRecord): Step<SetupFacts> {
  return {
    id: 'machine.record',
    title: "write the machine's record",
    already: "the machine's record is written",
    isDone: ({ record }) => record !== undefined && machineText(record) === machineText(wanted),
    actions: () => [makeDirectory(CONFIG_DIR, 0o755), write(MACHINE_FILE, machineText(wanted), 0o600)],
  };
}
