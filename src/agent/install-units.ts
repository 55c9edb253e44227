// Puts the unit files of this bundle in place. Only what differs is written; administrators' drop-ins are not looked
// at; no chain is restarted.

import agentRollBack from '../../systemd/agent-roll-back.sh';
import dockerInit from '../../systemd/docker-init.sh';
import forwarding6 from '../../systemd/forwarding6.sh';
import freezeCopy from '../../systemd/freeze-copy.sh';
import functionInit from '../../systemd/function-init.sh';
import ownVolumeOnly from '../../systemd/own-volume-only.sh';
import rootSlice from '../../systemd/rediacc.slice';
import repoSliceDropIn from '../../systemd/rediacc-.slice.conf';
import agentService from '../../systemd/rediacc-agent.service';
import agentSocket from '../../systemd/rediacc-agent.socket';
import autostartUnit from '../../systemd/rediacc-autostart.service';
import dockerUnit from '../../systemd/rediacc-docker@.service';
import guardUnit from '../../systemd/rediacc-guard.service';
import netUnit from '../../systemd/rediacc-net@.service';
import repoUnit from '../../systemd/rediacc-repo@.service';
import volumeUnit from '../../systemd/rediacc-volume@.service';
import composeShim from '../../systemd/renet-compose.sh';
import filesShim from '../../systemd/renet-files.sh';
import flagsShim from '../../systemd/renet-flags.sh';
import listeningShim from '../../systemd/renet-listening.sh';
import overrideShim from '../../systemd/renet-override.sh';
import projectShim from '../../systemd/renet-project.sh';
import shim from '../../systemd/renet-shim.sh';
import waitShim from '../../systemd/renet-wait.sh';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { connectProgram } from './connect-bundle.ts';
import { AUTOSTARTED_FLAG, LIB_DIR, UNIT_DIR } from './layout.ts';
import { createLinuxSystem } from './linux-system.ts';

const FILES: readonly { path: string; text: string; mode: number }[] = [
  ...Object.entries({
    'rediacc-agent.service': agentService,
    'rediacc-agent.socket': agentSocket,
    'rediacc-autostart.service': autostartUnit,
    'rediacc-volume@.service': volumeUnit,
    'rediacc-guard.service': guardUnit,
    'rediacc-net@.service': netUnit,
    'rediacc-docker@.service': dockerUnit,
    'rediacc-repo@.service': repoUnit,
    'rediacc.slice': rootSlice,
    'rediacc-.slice.d/10-shutdown.conf': repoSliceDropIn,
  }).map(([name, text]) => ({ path: `${UNIT_DIR}/${name}`, text, mode: 0o644 })),
  // What the shim reads comes before the shim: an older one reads none of it.
  ...Object.entries({
    'renet-compose.sh': composeShim,
    'renet-files.sh': filesShim,
    'renet-flags.sh': flagsShim,
    'renet-listening.sh': listeningShim,
    'renet-override.sh': overrideShim,
    'renet-project.sh': projectShim,
    'renet-wait.sh': waitShim,
  }).map(([name, text]) => ({ path: `${LIB_DIR}/shim/${name}`, text, mode: 0o644 })),
  // Before those that read it.
  { path: `${LIB_DIR}/own-volume-only`, text: ownVolumeOnly, mode: 0o644 },
  { path: `${LIB_DIR}/agent-roll-back`, text: agentRollBack, mode: 0o755 },
  { path: `${LIB_DIR}/forwarding6`, text: forwarding6, mode: 0o755 },
  { path: `${LIB_DIR}/docker-init`, text: dockerInit, mode: 0o755 },
  { path: `${LIB_DIR}/freeze-copy`, text: freezeCopy, mode: 0o755 },
  { path: `${LIB_DIR}/function-init`, text: functionInit, mode: 0o755 },
  { path: `${LIB_DIR}/shim/renet`, text: shim, mode: 0o755 },
  { path: `${LIB_DIR}/connect.mjs`, text: connectProgram, mode: 0o644 },
];

const AGENT_SOCKET_UNIT = 'rediacc-agent.socket';
const AUTOSTART_UNIT = 'rediacc-autostart.service';
const AUTOSTART_FILE = `${UNIT_DIR}/${AUTOSTART_UNIT}`;
/** Started by systemd itself, at boot or when somebody comes. */
export const ENABLED_UNITS = [AGENT_SOCKET_UNIT, AUTOSTART_UNIT] as const;

/** Paths of what is not as this bundle has it. */
export async function staleUnitFiles(system: System): Promise<string[]> {
  const stale: string[] = [];
  for (const { path, text } of FILES) if ((await system.readFile(path)) !== text) stale.push(path);
  return stale;
}

/** There while they are being written, until systemd has read them. */
const UNDER_WAY = `${LIB_DIR}/units-under-way`;

/** What an upgrade or a setup that was cut off has left to do. Paths of what was written. */
export async function finishUnits(system: System): Promise<string[]> {
  const isCutOff = (await system.stat(UNDER_WAY)) !== undefined || (await staleUnitFiles(system)).length > 0;
  return isCutOff ? await installUnits(system) : [];
}

/** Paths of what was written. Starts the agent's socket; a running daemon is left alone. */
export async function installUnits(system: System): Promise<string[]> {
  const isCutOff = (await system.stat(UNDER_WAY)) !== undefined;
  const changed: string[] = [];
  for (const { path, text, mode } of FILES) {
    const before = await system.readFile(path);
    if (before === text) continue;
    // A first setup is no boot. Once the unit is there, whatever starts what multi-user.target wants would start it as well; an
    // upgrade says nothing of it, since this boot's own start may still be due.
    if (before === undefined && path === AUTOSTART_FILE) await system.writeFile(AUTOSTARTED_FLAG, '', 0o644);
    if (changed.length === 0) await system.writeFile(UNDER_WAY, '', 0o644);
    await system.writeFile(path, text, mode);
    changed.push(path);
  }
  if (changed.length > 0 || isCutOff) await system.run(command('systemctl', 'daemon-reload'));
  await system.run(command('systemctl', 'enable', '--quiet', '--now', AGENT_SOCKET_UNIT));
  await system.run(command('systemctl', 'enable', '--quiet', AUTOSTART_UNIT));
  if (changed.length > 0 || isCutOff) await system.remove(UNDER_WAY);
  return changed;
}

export async function installUnitsCommand(): Promise<number> {
  const changed = await installUnits(createLinuxSystem());
  for (const path of changed) process.stdout.write(`wrote ${path}\n`);
  return 0;
}
