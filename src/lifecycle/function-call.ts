// One call of one Rediaccfile function: a fresh bash in a transient unit of the repository's slice, in its namespace,
// seeing only what sandbox.ts allows. The function is called plainly, so that `set -e` in the file means what its
// author thinks; stdin is empty; what still runs at the end is ended with the unit.
import { Secret } from '../protocol/secret.ts';
import type { Command } from './command.ts';
import { encodeSettings, wrapperCommand } from './function-wrapper.ts';
import type { Rediaccfile } from './rediaccfile.ts';
import { FUNCTION_INIT, functionView, type HostView, viewOfHost } from './sandbox.ts';
import type { RepoTarget } from './target.ts';
import { literalWords } from './unit-text.ts';

export type FunctionName = 'prep' | 'up' | 'down';

/** Where `renet` inside a function comes from: a thin shim, so that it costs no start of Node. */
const FUNCTION_PATH = '/usr/lib/rediacc/shim:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface FunctionCall {
  target: RepoTarget;
  rediaccfile: Rediaccfile;
  name: FunctionName;
  /** Distinguishes the units of one repository: run id and position in the pass. */
  callId: string;
  environment: Readonly<Record<string, string>>;
  /** Of the directory's .env: secrets, so they go over stdin and stand in no argument (ps(1), systemctl show). */
  settings: ReadonlyMap<string, string>;
  /** Begins the wrapper's own lines on stderr. */
  mark: string;
  timeoutMs: number | undefined;
  host: HostView;
}

export function functionUnit(call: Pick<FunctionCall, 'target' | 'callId'>): string {
  return `rediacc-function-${call.target.networkId}-${call.callId}.service`;
}

export function functionCommand(call: FunctionCall): Command {
  const { target, rediaccfile, name, environment, settings, mark, timeoutMs, host } = call;
  const properties = [
    // At shutdown down() must still be startable: no Conflicts=shutdown.target.
    ['DefaultDependencies', 'no'],
    ['NetworkNamespacePath', target.net.namespacePath],
    ['KillMode', 'control-group'],
    ['TimeoutStopSec', '10'],
    ...(timeoutMs === undefined ? [] : [['RuntimeMaxSec', `${timeoutMs}ms`]]),
    ...viewOfHost(host),
    ...functionView(target),
  ];
  return {
    file: 'systemd-run',
    args: [
      '--pipe',
      '--wait',
      '--collect',
      '--service-type=exec',
      `--unit=${functionUnit(call)}`,
      // Without one it is the whole command, in every list of units and in the journal.
      `--description=${name}() of repository ${target.name}`,
      `--slice=${target.net.slice}`,
      ...properties.map(([key, value]) => `--property=${key}=${value}`),
      ...Object.entries({ ...environment, PATH: FUNCTION_PATH }).map(([key, value]) => `--setenv=${key}=${value}`),
      ...literalWords([
        ...FUNCTION_INIT,
        ...wrapperCommand({ file: rediaccfile.file, name, mark, directory: rediaccfile.path }),
      ]),
    ],
    stdin: new Secret(encodeSettings(settings)),
    // Its words tell how the unit ended, and are wanted on stderr, whatever the daemon's own stderr is.
    env: { SYSTEMD_LOG_TARGET: 'console', SYSTEMD_LOG_LEVEL: 'info', SYSTEMD_LOG_COLOR: '0' },
    // The unit's own limit ends it; this one only guards against a systemd-run that never returns.
    timeoutMs: timeoutMs === undefined ? Number.POSITIVE_INFINITY : timeoutMs + 30_000,
  };
}

/** What every function finds in its environment (SPEC section 6); the names are a contract with Rediaccfile authors. */
export function functionEnvironment(
  target: RepoTarget,
  services: Readonly<Record<string, string>>,
): Record<string, string> {
  const { paths, net, guid, networkId } = target;
  return {
    ...services,
    REPOSITORY_PATH: paths.mountPoint,
    REPOSITORY_NAME: guid,
    REPOSITORY_NETWORK_ID: String(networkId),
    REDIACC_WORKING_DIR: paths.mountPoint,
    REDIACC_REPOSITORY: guid,
    REDIACC_NETWORK_ID: String(networkId),
    DOCKER_HOST: net.dockerHost,
    HOME: paths.home,
    DOCKER_CONFIG: `${paths.home}/.docker`,
    LANG: 'C.UTF-8',
  };
}
