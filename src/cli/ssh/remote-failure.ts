// Why the agent did not answer although the login worked: sudo, no agent, or an agent that broke.
// sudo has one exit code for everything, so its text is read; the command runs under LC_ALL=C for that.
import { RdcError } from '../../protocol/errors.ts';
import type { SshTarget } from './transport.ts';

export const SUDOERS_FILE = '/etc/sudoers.d/rediacc';

/** What the command needed: the wide right of a first contact, or the narrow one that setup leaves behind. */
export type Right = 'setup' | 'connect';

export interface Silence {
  target: SshTarget;
  right: Right;
  launcher: string;
  exitCode: number;
  stderr: string;
  /** What came on stdout in place of the agent's line: motd, .bashrc. */
  noise: string;
}

/** The same words for root and for a user with sudo. */
export function elevate({ user }: SshTarget, words: readonly string[]): string[] {
  return user === 'root' ? [...words] : ['env', 'LC_ALL=C', 'sudo', '-n', ...words];
}

export function explainSilence(silence: Silence): RdcError {
  const { target, launcher, exitCode, stderr, noise } = silence;
  const cause = [noise, stderr]
    .filter((text) => text.trim() !== '')
    .join('\n')
    .trim();
  const lines = stderr.split('\n').map((line) => line.trim());
  const sudo = lines.filter((line) => /^sudo:|^Sorry, user/.test(line) && !/unable to resolve host/.test(line));
  if (sudo.some((line) => line.includes('command not found'))) return notSetUp(target, cause);
  if (lines.some((line) => /^env: .*sudo.*No such file/.test(line))) return noSudo(target, cause);
  const refusal = sudo[0];
  if (refusal !== undefined) return sudoRefused(silence, refusal);
  if (exitCode === 127) return notSetUp(target, cause);
  if (wasKilled(exitCode) && cause === '') return killed(target, exitCode);
  const last = lines.filter((line) => line !== '').at(-1) ?? `${launcher} ended with exit code ${exitCode}`;
  return new RdcError('FAILED', `the agent on machine "${target.machine}" did not answer: ${last}`, {
    hint: `rdc context setup-machine ${target.machine}`,
    cause,
  });
}

/** As a shell tells SIGKILL and SIGTERM (sh(1), "128 plus the signal"), and ssh(1) any end by a signal. */
function wasKilled(exitCode: number): boolean {
  return [137, 143, 255].includes(exitCode);
}

/** Like a link that dropped: whoever is on the way to a run that goes on tries again. */
function killed({ machine }: SshTarget, exitCode: number): RdcError {
  return new RdcError('CONNECTION_LOST', `what leads to the agent on machine "${machine}" was killed there`, {
    hint: 'type the command again',
    cause: `exit code ${exitCode}`,
  });
}

export function notSetUp({ machine }: SshTarget, cause?: string): RdcError {
  return new RdcError('NOT_SET_UP', `machine "${machine}" is not set up`, {
    hint: `rdc context setup-machine ${machine}`,
    cause,
  });
}

function noSudo({ machine, user }: SshTarget, cause: string): RdcError {
  return new RdcError('SUDO', `machine "${machine}" has no sudo, and "${user}" is not root`, {
    hint: `on "${machine}", as root: apt-get install sudo`,
    cause,
  });
}

function sudoRefused({ target, right, launcher }: Silence, line: string): RdcError {
  const { machine, user } = target;
  const tty = /must have a tty/.test(line);
  const rule = tty ? `Defaults:${user} !requiretty` : sudoersLine(user, right, launcher);
  const reason = tty ? 'wants a terminal' : 'asks for a password';
  return new RdcError('SUDO', `sudo on machine "${machine}" ${reason} for user "${user}"`, {
    hint: `on "${machine}", as root: echo '${rule}' ${tty ? '>>' : '>'} ${SUDOERS_FILE}`,
    cause: line,
  });
}

/** The file is the one that setup writes, so the wide line of a first contact is replaced by the narrow one. */
export function sudoersLine(user: string, right: Right, launcher: string): string {
  return right === 'setup' ? `${user} ALL=(ALL) NOPASSWD: ALL` : `${user} ALL=(root) NOPASSWD: ${launcher} connect`;
}
