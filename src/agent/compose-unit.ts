// docker compose for a person at a workstation: in the repository's namespace and slice, seeing what a function sees.
// As a transient unit (systemd.exec(5)).
import { randomBytes } from 'node:crypto';
import { type Command, command } from '../lifecycle/command.ts';
import { FUNCTION_INIT, functionView, type HostView, viewOfHost } from '../lifecycle/sandbox.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { literalWord } from '../lifecycle/unit-text.ts';
import { LIB_DIR } from './layout.ts';
import { SEARCH_PATH } from './run-command.ts';

/** $1 the directory. The shell changes it and not the unit, so that the unit is not ordered after the mount. */
const START = 'cd -- "$1" && shift && exec renet compose -- "$@"';

export interface ComposeCall {
  target: RepoTarget;
  /** Absolute. */
  directory: string;
  environment: Readonly<Record<string, string>>;
  words: readonly string[];
  host: HostView;
}

export function composeUnit({ target, directory, environment, words, host }: ComposeCall): {
  unit: string;
  run: Command;
} {
  const unit = `rediacc-compose-${target.networkId}-${randomBytes(4).toString('hex')}.service`;
  const properties: (readonly [string, string])[] = [
    // Ended before the daemon is stopped, at shutdown too.
    ['BindsTo', target.units.docker],
    ['After', target.units.docker],
    ['NetworkNamespacePath', target.net.namespacePath],
    ['KillMode', 'control-group'],
    // What Ctrl-C is at a terminal: compose then stops what it runs in the foreground.
    ['KillSignal', 'SIGINT'],
    ['TimeoutStopSec', '20'],
    ...viewOfHost(host),
    ...functionView(target),
  ];
  const run = command(
    'systemd-run',
    '--quiet',
    '--pipe',
    '--wait',
    '--collect',
    '--service-type=exec',
    `--unit=${unit}`,
    `--slice=${target.net.slice}`,
    ...properties.map(([key, value]) => `--property=${key}=${value}`),
    ...Object.entries({ ...environment, PATH: `${LIB_DIR}/shim:${SEARCH_PATH}` }).map(
      ([key, value]) => `--setenv=${key}=${value}`,
    ),
    ...[...FUNCTION_INIT, '/bin/bash', '--noprofile', '--norc', '-c', START, 'rediacc', directory, ...words].map(
      literalWord,
    ),
  );
  return { unit, run };
}
