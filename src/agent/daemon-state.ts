// How the docker daemon of one repository fares, by its unit. systemd starts it again by itself (Restart= in
// rediacc-docker@.service), also while the agent is not there; here is read how often and why.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';

export interface DaemonState {
  /** systemd's ActiveState. */
  active: string;
  /** Automatic starts since the last one that was asked for. */
  restarts: number;
  /** Of the program that runs, milliseconds since the epoch, whole seconds; 0: none. */
  startedAt: number;
  /** How the last one ended, in words; undefined while one runs or where nothing is wrong. */
  fault: string | undefined;
}

const PROPERTIES = 'ActiveState,Result,ExecMainCode,ExecMainStatus,NRestarts,ExecMainStartTimestamp';

export async function observeDaemon(system: System, unit: string): Promise<DaemonState> {
  const { stdout } = await system.run(
    command('systemctl', 'show', '--timestamp=unix', `--property=${PROPERTIES}`, unit),
  );
  return parseDaemon(stdout);
}

export function parseDaemon(text: string): DaemonState {
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  return {
    active: value('ActiveState'),
    restarts: Number(value('NRestarts')) || 0,
    startedAt: (Number(value('ExecMainStartTimestamp').replace('@', '')) || 0) * 1000,
    fault: faultOf(value('Result'), Number(value('ExecMainStatus'))),
  };
}

/** What is started is the child of a shell that passes its code on: 128 + n says that signal n ended it (bash(1), EXIT STATUS). */
function faultOf(result: string, status: number): string | undefined {
  if (result === '' || result === 'success') return undefined;
  if (result === 'oom-kill') return 'the kernel ended it for want of memory';
  if (result === 'timeout') return 'it was not ready in time';
  if (result === 'exit-code')
    return status > 128 ? `signal ${status - 128} ended it` : `it ended with exit code ${status}`;
  return `systemd says "${result}"`;
}
