// What rsync sees of the server: the programs, read-only, and one repository's mount; no host directory, no network, no
// other repository, and of this one not what belongs to us. As a transient unit (systemd.exec(5)).
import { randomBytes } from 'node:crypto';
import { type Command, command } from '../lifecycle/command.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { literalWords } from '../lifecycle/unit-text.ts';
import type { RsyncServer } from './rsync-argv.ts';

/** Empty in the unit: a dry run of an upload into a directory that is not there yet looks at this one. */
const NOWHERE = '/tmp';

/** $1 a directory, $2 what has to be made below it, then rsync's own words. */
const RECEIVE = 'cd -- "$1" && mkdir -p -- "$2" && cd -- "$2" && shift 2 && exec rsync "$@"';
const SEND = 'cd -- "$1" && shift 2 && exec rsync "$@"';

export interface RsyncPlace {
  target: RepoTarget;
  /** Absolute, as the host sees it: the part of the wanted directory that is there. */
  existing: string;
  /** Relative to it; "" when all of it is there. */
  missing: string;
}

export interface TransferUnit {
  unit: string;
  run: Command;
}

export function sandboxedRsync(place: RsyncPlace, { sender, dryRun, options }: RsyncServer): TransferUnit {
  const { target, existing, missing } = place;
  const isNowhere = dryRun && missing !== '';
  const unit = `rediacc-transfer-${target.networkId}-${randomBytes(4).toString('hex')}.service`;
  const run = command(
    'systemd-run',
    '--quiet',
    '--pipe',
    '--wait',
    '--collect',
    '--service-type=exec',
    `--unit=${unit}`,
    `--description=file transfer of repository ${target.guid}`,
    ...properties(target).map(([key, value]) => `--property=${key}=${value}`),
    ...literalWords([
      ...['/bin/sh', '-c', sender ? SEND : RECEIVE, 'rediacc'],
      isNowhere ? NOWHERE : existing,
      isNowhere || missing === '' ? '.' : missing,
      '--server',
      ...(sender ? ['--sender'] : []),
      ...options,
      ...['.', './'],
    ]),
  );
  return { unit, run };
}

function properties({ paths, units }: RepoTarget): [string, string][] {
  return [
    // Ended before the volume is closed, at shutdown too.
    ['BindsTo', units.volume],
    ['After', units.volume],
    ['TemporaryFileSystem', '/:mode=0755'],
    ['BindReadOnlyPaths', '/usr'],
    ...['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/etc/ld.so.cache', '/etc/alternatives'].map(
      (path): [string, string] => ['BindReadOnlyPaths', `-${path}`],
    ),
    ['TemporaryFileSystem', NOWHERE],
    ['BindPaths', paths.mountPoint],
    ['InaccessiblePaths', `-${paths.internal}`],
    ['PrivateDevices', 'yes'],
    ['PrivateNetwork', 'yes'],
    ['PrivateIPC', 'yes'],
    ['RestrictAddressFamilies', 'AF_UNIX'],
    ['NoNewPrivileges', 'yes'],
    ['CapabilityBoundingSet', 'CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID'],
    ['KillMode', 'control-group'],
    ['TimeoutStopSec', '10'],
    ['LimitCORE', '0'],
    ['UMask', '0022'],
  ];
}
