// What a setup is to bring about, worked out from the request, the machine's record and a look at the machine. Rule:
// everything that can be refused is refused here, before anything is changed.
import { command } from '../lifecycle/command.ts';
import type { GuardSettings } from '../lifecycle/guard.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf } from '../protocol/operations.ts';
import { SUDOERS_FILE } from './layout.ts';
import type { MachineRecord, Pool } from './machine-record.ts';
import { resolveMirrors } from './registry-mirrors.ts';
import { resolvePool } from './setup-pool.ts';

export interface SetupRequest {
  datastore: string;
  pool: Pool | undefined;
  registryMirrors: string[];
  guard: GuardSettings;
  /** Login name and the sudoers file as it is. */
  sudo: { user: string; existing: string | undefined } | undefined;
  before: MachineRecord | undefined;
}

const SYSTEM_DIRECTORIES = [
  'bin',
  'boot',
  'dev',
  'etc',
  'home',
  'lib',
  'lib32',
  'lib64',
  'media',
  'mnt',
  'opt',
  'proc',
  'root',
  'run',
  'sbin',
  'srv',
  'sys',
  'tmp',
  'usr',
  'var',
];
/** Nothing below these keeps data over a reboot, or belongs to anybody but the system. */
const SYSTEM_TREES = ['/boot', '/dev', '/etc', '/proc', '/run', '/sys', '/tmp', '/usr', '/var/tmp', '/var/lib/rediacc'];

export async function resolveSetup(
  system: System,
  input: InputOf<'machine.setup'>,
  before: MachineRecord | undefined,
): Promise<SetupRequest> {
  await refuseDatastore(system, input.datastore, before);
  const registryMirrors = input.registryMirrors ?? before?.registryMirrors ?? [];
  return {
    datastore: input.datastore,
    pool: await resolvePool(system, input, before),
    registryMirrors,
    guard: {
      mirrors: await resolveMirrors(system, registryMirrors),
      forwardingWasOff: await forwardingWasOff(system, before?.forwardingWasOff, IPV4_FORWARDING),
      forwarding6WasOff: await forwardingWasOff(system, before?.forwarding6WasOff, IPV6_FORWARDING),
      metadataAllowed: before?.metadataAllowed ?? false,
    },
    sudo: await resolveSudo(system, input.sudoUser),
    before,
  };
}

async function refuseDatastore(system: System, path: string, before: MachineRecord | undefined): Promise<void> {
  if (before !== undefined && before.datastore !== path) {
    throw new RdcError(
      'ALREADY_EXISTS',
      `this machine's datastore is "${before.datastore}": it cannot have "${path}" as a second one`,
      {
        hint: `rdc context add-machine NAME --datastore ${before.datastore} …`,
      },
    );
  }
  const isSystem =
    path === '/' ||
    SYSTEM_DIRECTORIES.includes(path.slice(1)) ||
    SYSTEM_TREES.some((tree) => `${path}/`.startsWith(`${tree}/`));
  if (isSystem) {
    throw new RdcError('INVALID_INPUT', `"${path}" cannot be a datastore: it belongs to the system`, {
      hint: 'use a directory of its own, e.g. /mnt/rediacc',
    });
  }
  const { stdout } = await system.run(command('realpath', '--canonicalize-missing', path));
  const real = stdout.trim();
  if (real !== path) {
    throw new RdcError('INVALID_INPUT', `"${path}" leads elsewhere by a symbolic link`, {
      hint: `name the place itself: ${real}`,
    });
  }
  const stat = await system.stat(path);
  if (stat !== undefined && stat.kind !== 'directory') {
    throw new RdcError('INVALID_INPUT', `"${path}" is no directory`);
  }
}

async function resolveSudo(system: System, user: string | undefined): Promise<SetupRequest['sudo']> {
  if (user === undefined || user === 'root') return undefined;
  const look = { ...command('getent', 'passwd', user), allow: [2] };
  if ((await system.run(look)).exitCode !== 0) throw new RdcError('INVALID_INPUT', `the machine has no user "${user}"`);
  return { user, existing: await system.readFile(SUDOERS_FILE) };
}

/**
 * Told once, before docker or we switch it on. An administrator who switches forwarding on in a file of sysctl.d(5)
 * wants the machine to forward, and the guard then leaves other forwards alone.
 */
async function forwardingWasOff(system: System, before: boolean | undefined, setting: Setting): Promise<boolean> {
  if (before === false || (await isForwardingWanted(system, setting))) return false;
  return before ?? (await system.readFile(setting.file))?.trim() !== '1';
}

interface Setting {
  file: string;
  /** A line of sysctl.d(5) that switches it on. */
  wanted: RegExp;
}
const IPV4_FORWARDING: Setting = {
  file: '/proc/sys/net/ipv4/ip_forward',
  wanted: /^\s*-?net[./]ipv4[./](?:ip_forward|conf[./]all[./]forwarding)\s*=\s*1\s*$/m,
};
const IPV6_FORWARDING: Setting = {
  file: '/proc/sys/net/ipv6/conf/all/forwarding',
  wanted: /^\s*-?net[./]ipv6[./]conf[./]all[./]forwarding\s*=\s*1\s*$/m,
};

async function isForwardingWanted(system: System, { wanted }: Setting): Promise<boolean> {
  const files = ['/etc/sysctl.conf', '/etc/ufw/sysctl.conf'];
  for (const directory of ['/etc/sysctl.d', '/run/sysctl.d', '/usr/local/lib/sysctl.d', '/usr/lib/sysctl.d']) {
    const names = (await system.list(directory)) ?? [];
    files.push(...names.filter((name) => name.endsWith('.conf')).map((name) => `${directory}/${name}`));
  }
  const texts = await Promise.all(files.map((file) => system.readFile(file)));
  return texts.some((text) => wanted.test(text ?? ''));
}
