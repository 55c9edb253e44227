// Where rdc keeps things on the workstation (XDG Base Directory Specification; relative paths in its variables are ignored).
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

export interface WorkstationPaths {
  /** config.json and credentials.json. */
  configDir: string;
  /** What can be fetched or built again. */
  cacheDir: string;
  /** Playground machines. */
  stateDir: string;
}

export function workstationPaths(env: NodeJS.ProcessEnv): WorkstationPaths {
  const home = homeOf(env);
  const base = (variable: string, fallback: string) => {
    const value = env[variable] ?? '';
    return join(isAbsolute(value) ? value : join(home, fallback), 'rediacc');
  };
  const override = env.REDIACC_CONFIG_DIR ?? '';
  return {
    configDir: override === '' ? base('XDG_CONFIG_HOME', '.config') : resolve(override),
    cacheDir: base('XDG_CACHE_HOME', '.cache'),
    stateDir: base('XDG_STATE_HOME', '.local/state'),
  };
}

/** An absolute path; `~` is the home directory even where no shell has expanded it (--ssh-key=~/.ssh/key). */
export function expandPath(path: string, env: NodeJS.ProcessEnv, cwd: string): string {
  if (path === '~') return homeOf(env);
  return path.startsWith('~/') ? join(homeOf(env), path.slice(2)) : resolve(cwd, path);
}

function homeOf(env: NodeJS.ProcessEnv): string {
  return env.HOME !== undefined && isAbsolute(env.HOME) ? env.HOME : homedir();
}
