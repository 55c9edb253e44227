// docker compose for a person at a workstation: in the repository's namespace and slice, seeing what a function sees.
// As a transient unit (systemd.exec(5)).
import { randomBytes } from 'node:crypto';
import { type Command, command } from '../lifecycle/command.ts';
import { FUNCTION_INIT, functionView, type HostView, viewOfHost } from '../lifecycle/sandbox.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { literalWords } from '../lifecycle/unit-text.ts';
import type { Terminal } from '../protocol/terminal.ts';
import { LIB_DIR } from './layout.ts';
import { SEARCH_PATH } from './run-command.ts';

/**
 * The same on a terminal of its own, made by script(1) within the unit: what it may open and see is as without. $1 rows, $2 columns.
 * script takes its command as one text for $SHELL, and does not echo by itself where its stdin is no terminal. systemd-run --pty
 * would hand in a terminal of the host's and keep its size to itself.
 */
const START_ON_TERMINAL = `rows=$1 columns=$2; shift 2; cd -- "$1" && shift || exit
printf -v words '%q ' "$@"
size="rows $rows columns $columns"
if ((rows == 0 || columns == 0)); then size=; fi
SHELL=/bin/bash exec script --quiet --flush --return --echo always \
  --command "stty $size; unset SHELL; exec renet compose -- $words" /dev/null`;

/** $1 the directory. The shell changes it and not the unit, so that the unit is not ordered after the mount. */
const START = 'cd -- "$1" && shift && exec renet compose -- "$@"';

export interface ComposeCall {
  target: RepoTarget;
  /** Absolute. */
  directory: string;
  environment: Readonly<Record<string, string>>;
  words: readonly string[];
  host: HostView;
  terminal: Terminal | undefined;
}

export function composeUnit({ target, directory, environment, words, host, terminal }: ComposeCall): {
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
    // What a terminal that is closed sends: Ctrl-C is a key like any other to a shell in a container.
    ...(terminal === undefined ? [] : [['SendSIGHUP', 'yes'] as const]),
    ...viewOfHost(host),
    ...functionView(target),
  ];
  const start =
    terminal === undefined
      ? [START, 'rediacc']
      : [START_ON_TERMINAL, 'rediacc', String(terminal.rows), String(terminal.columns)];
  const run = command(
    'systemd-run',
    '--quiet',
    '--pipe',
    '--wait',
    '--collect',
    '--service-type=exec',
    `--unit=${unit}`,
    // Without one it is the whole command, in the journal too: there may be a secret among the words.
    `--description=docker compose of repository ${target.name}`,
    `--slice=${target.net.slice}`,
    ...properties.map(([key, value]) => `--property=${key}=${value}`),
    ...Object.entries({
      ...environment,
      PATH: `${LIB_DIR}/shim:${SEARCH_PATH}`,
      ...(terminal === undefined ? {} : { TERM: terminal.name }),
    }).map(([key, value]) => `--setenv=${key}=${value}`),
    ...literalWords([...FUNCTION_INIT, '/bin/bash', '--noprofile', '--norc', '-c', ...start, directory, ...words]),
  );
  return { unit, run };
}
