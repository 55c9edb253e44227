// One call of one Rediaccfile function: a fresh bash in a transient unit of the repository's slice, in its namespace,
// seeing only what sandbox.ts allows. The function is called plainly, so that `set -e` in the file means what its
// author thinks; stdin is empty; what still runs at the end is ended with the unit.
import type { Command } from './command.ts';
import type { Rediaccfile } from './rediaccfile.ts';
import { FUNCTION_INIT, functionView, viewOfResolvConf } from './sandbox.ts';
import type { RepoTarget } from './target.ts';

export type FunctionName = 'prep' | 'up' | 'down';

/** Where `renet` inside a function comes from: a thin shim, so that it costs no start of Node. */
const FUNCTION_PATH = '/usr/lib/rediacc/shim:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * $1 file, $2 function, $3 the mark that tells on stderr that there is no such function, $4 where the file is. Nothing
 * stands between the plain call and the end, so the function's exit code is the shell's. The shell changes directory
 * and not the unit: WorkingDirectory= orders the unit after the mount (systemd.exec(5)), whose own stop is due at
 * shutdown, and down() would never be started.
 */
const WRAPPER =
  'cd -- "$4" || exit\nunset OLDPWD\nsource "./$1"\nif ! declare -F "$2" >/dev/null; then printf "%s" "$3" >&2; exit 0; fi\n"$2"';

export interface FunctionCall {
  target: RepoTarget;
  rediaccfile: Rediaccfile;
  name: FunctionName;
  /** Distinguishes the units of one repository: run id and position in the pass. */
  callId: string;
  environment: Readonly<Record<string, string>>;
  undefinedMark: string;
  timeoutMs: number | undefined;
  resolvConf: string | undefined;
}

export function functionUnit(call: Pick<FunctionCall, 'target' | 'callId'>): string {
  return `rediacc-function-${call.target.networkId}-${call.callId}.service`;
}

export function functionCommand(call: FunctionCall): Command {
  const { target, rediaccfile, name, environment, timeoutMs, resolvConf } = call;
  const properties = [
    // At shutdown down() must still be startable: no Conflicts=shutdown.target.
    ['DefaultDependencies', 'no'],
    ['NetworkNamespacePath', target.net.namespacePath],
    ['KillMode', 'control-group'],
    ['TimeoutStopSec', '10'],
    ...(timeoutMs === undefined ? [] : [['RuntimeMaxSec', `${timeoutMs}ms`]]),
    ...viewOfResolvConf(resolvConf),
    ...functionView(target),
  ];
  return {
    file: 'systemd-run',
    args: [
      '--quiet',
      '--pipe',
      '--wait',
      '--collect',
      '--service-type=exec',
      `--unit=${functionUnit(call)}`,
      `--slice=${target.net.slice}`,
      ...properties.map(([key, value]) => `--property=${key}=${value}`),
      ...Object.entries({ ...environment, PATH: FUNCTION_PATH }).map(([key, value]) => `--setenv=${key}=${value}`),
      ...FUNCTION_INIT,
      '/bin/bash',
      '--noprofile',
      '--norc',
      '-c',
      WRAPPER,
      'rediacc',
      rediaccfile.file,
      name,
      call.undefinedMark,
      rediaccfile.path,
    ],
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
