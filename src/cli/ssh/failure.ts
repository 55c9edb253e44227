// The failures of an ssh connection, worded once for both clients, and the reading of OpenSSH's own messages.
// ssh has one exit code for everything (255), so its text is all there is; test/cli/ssh/failure.test.ts pins it.
import { RdcError } from '../../protocol/errors.ts';
import type { SshTarget } from './transport.ts';

export function hostKeyChanged({ machine }: SshTarget, cause?: unknown): RdcError {
  return new RdcError('HOST_KEY', `the host key of machine "${machine}" has changed`, {
    hint: `if the server was installed anew, accept its key: rdc context scan-keys ${machine}`,
    cause,
  });
}

export function hostKeyUnknown({ machine }: SshTarget): RdcError {
  return new RdcError('HOST_KEY', `no host key of machine "${machine}" is pinned`, {
    hint: `rdc context scan-keys ${machine}`,
  });
}

/** The user's own known_hosts decides about a jump host, not the pinned keys. */
function jumpHostUnknown({ machine, user, host }: SshTarget, cause: unknown): RdcError {
  return new RdcError('HOST_KEY', `the jump host on the way to machine "${machine}" shows an unknown or changed key`, {
    hint: `look at it by hand: ssh ${user}@${host}`,
    cause,
  });
}

export function loginRefused(target: SshTarget, reason: string, hint?: string, cause?: unknown): RdcError {
  const who = `"${target.user}" on machine "${target.machine}"`;
  return new RdcError('SSH_LOGIN', `ssh login of ${who} failed: ${reason}`, {
    hint: hint ?? `see why: ${trySsh(target)}`,
    cause,
  });
}

export function unreachable(target: SshTarget, reason: string, cause?: unknown): RdcError {
  const where = `machine "${target.machine}" (${target.host} port ${target.port})`;
  return new RdcError('UNREACHABLE', `cannot reach ${where}: ${reason}`, { cause });
}

/** The server hung up before it said a word. */
export class TurnedAway extends RdcError {
  readonly machine: string;

  constructor(target: SshTarget, cause?: unknown) {
    const { machine, host, port } = target;
    super(
      'UNREACHABLE',
      `cannot reach machine "${machine}" (${host} port ${port}): the server hung up before the login`,
      {
        hint: `too many logins at once (MaxStartups in sshd_config) or a ban of this address; see: ${trySsh(target)}`,
        cause,
      },
    );
    this.machine = machine;
  }
}

export function connectionLost({ machine }: SshTarget, cause?: unknown): RdcError {
  return new RdcError('CONNECTION_LOST', `lost the connection to machine "${machine}"`, { cause });
}

/** A command line that shows a person what the ssh of their system makes of the same login. */
function trySsh({ user, host, port, identityFile }: SshTarget): string {
  const key = identityFile === undefined ? '' : `-i ${identityFile} `;
  return `ssh -v ${key}${port === 22 ? '' : `-p ${port} `}${user}@${host} true`;
}

interface Rule {
  pattern: RegExp;
  error: (target: SshTarget, log: string) => RdcError;
}

/** First match wins: the reason for a refusal stands before the refusal itself in ssh's log. */
const RULES: readonly Rule[] = [
  { pattern: /Host key verification failed|no matching host key type/, error: hostKeyChanged },
  {
    pattern: /UNPROTECTED PRIVATE KEY|bad permissions/,
    error: (target, log) => {
      const fix = `chmod 600 ${target.identityFile ?? '~/.ssh/id_*'}`;
      return loginRefused(target, 'others can read the private key, so ssh ignores it', fix, log);
    },
  },
  {
    pattern: /Too many authentication failures/,
    error: (target, log) =>
      loginRefused(target, 'too many keys were tried', 'give the machine the one key to use (--ssh-key)', log),
  },
  { pattern: /Permission denied|No more authentication methods|no such identity/i, error: keyRefused },
  { pattern: /Connection refused/, error: (target, log) => unreachable(target, 'connection refused', log) },
  {
    pattern: /Could not resolve hostname|Name or service not known|nodename nor servname/,
    error: (target, log) => unreachable(target, 'the name does not resolve', log),
  },
  { pattern: /No route to host|Network is unreachable/, error: (target, log) => unreachable(target, 'no route', log) },
  { pattern: /timed out/, error: (target, log) => unreachable(target, 'timed out', log) },
  {
    pattern: /(kex|ssh)_exchange_identification: (read: )?Connection (closed|reset)/,
    error: (target, log) => new TurnedAway(target, log),
  },
  {
    pattern: /(kex|ssh)_exchange_identification|banner exchange|identification string/i,
    error: (target, log) => unreachable(target, 'the server hung up before the login', log),
  },
  {
    pattern: /channel \d+: open failed/,
    error: (target, log) => unreachable(target, 'the server opens no session for this login', log),
  },
  { pattern: /Timeout, server|client_loop:|Read from remote host|closed by remote host/, error: connectionLost },
  {
    pattern: /Connection (closed|reset) by|Broken pipe|Connection reset|Received disconnect|Disconnected from/,
    error: (target, log) => unreachable(target, 'the server closed the connection', log),
  },
];

export function keyRefused(target: SshTarget, cause?: unknown): RdcError {
  const key = target.identityFile === undefined ? 'no key was accepted' : `key ${target.identityFile} was not accepted`;
  return loginRefused(target, key, undefined, cause);
}

export function passphraseNeeded(target: SshTarget, keyFile: string, cause?: unknown): RdcError {
  return loginRefused(target, 'the key has a passphrase and nobody can be asked', `ssh-add ${keyFile}`, cause);
}

export interface OpenSshEnd {
  /** What ssh itself wrote. */
  log: string;
  /** What came from the remote command, and from the ssh of a jump host. */
  stderr: string;
  /** Whether the remote side had answered already. */
  began: boolean;
}

export function classifyOpenSshEnd(target: SshTarget, { log, stderr, began }: OpenSshEnd): RdcError {
  // So ssh names a server at the far end of a ProxyJump or ProxyCommand.
  const viaJump = log.includes('UNKNOWN port');
  const text = (viaJump ? stderr + log : log).trim();
  const found = RULES.find(({ pattern }) => pattern.test(text))?.error(target, text);
  if (began && (found === undefined || found.code === 'UNREACHABLE')) return connectionLost(target, text);
  if (viaJump && found?.code === 'HOST_KEY') return jumpHostUnknown(target, text);
  return found ?? unreachable(target, text.split('\n').at(-1) ?? 'ssh failed', text);
}
