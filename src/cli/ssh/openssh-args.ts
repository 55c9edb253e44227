// The words given to the system's ssh. What the user's own ssh config says stands (aliases, ProxyJump, agents,
// certificates), except where a session of ours needs it otherwise: no forwarding, no multiplexing, our host keys.
import { quoteCommand } from './quote.ts';
import type { SshTarget } from './transport.ts';

export interface OpenSshFiles {
  knownHosts: string;
  /** ssh writes its own messages here, so that they never mix with the remote command's stderr. */
  log: string;
}

/** Signature algorithms by which a pinned key of this type proves itself (RFC 8332 for rsa). */
const ALGORITHMS: Readonly<Record<string, string>> = { 'ssh-rsa': 'rsa-sha2-512,rsa-sha2-256' };

export function openSshArguments(
  target: SshTarget,
  argv: readonly string[],
  files: OpenSshFiles,
  { tty }: { tty: boolean },
): string[] {
  const options: Record<string, string> = {
    BatchMode: tty ? 'no' : 'yes',
    ConnectTimeout: '15',
    ServerAliveInterval: '15',
    ServerAliveCountMax: '4',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: `"${files.knownHosts}"`,
    GlobalKnownHostsFile: '/dev/null',
    HostKeyAlias: hostKeyAlias(target),
    HostKeyAlgorithms: pinnedAlgorithms(target),
    CheckHostIP: 'no',
    VerifyHostKeyDNS: 'no',
    UpdateHostKeys: 'no',
    ControlMaster: 'no',
    ControlPath: 'none',
    ForwardAgent: 'no',
    ForwardX11: 'no',
    ClearAllForwardings: 'yes',
    PermitLocalCommand: 'no',
    RemoteCommand: 'none',
    // Below INFO ssh does not say why a handshake failed.
    LogLevel: 'INFO',
  };
  return [
    '-T',
    ...['-E', files.log],
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ...(target.identityFile === undefined ? [] : ['-i', target.identityFile, '-o', 'IdentitiesOnly=yes']),
    // 22 is left unsaid, so that a Port of the user's ssh config counts.
    ...(target.port === 22 ? [] : ['-p', String(target.port)]),
    ...['-l', target.user],
    '--',
    target.host,
    quoteCommand(argv),
  ];
}

/** The name under which the host's keys are looked up, so that a new address or port of the server changes nothing. */
function hostKeyAlias({ machine }: SshTarget): string {
  return `rediacc-${machine.toLowerCase()}`;
}

export function knownHostsText(target: SshTarget): string {
  return target.hostKeys.map((key) => `${hostKeyAlias(target)} ${key}\n`).join('');
}

/** Only what the pinned keys can sign with: else a server with a second key would look like a changed one. */
function pinnedAlgorithms({ hostKeys }: SshTarget): string {
  const types = hostKeys.map((key) => key.split(' ')[0] ?? '');
  return [...new Set(types)].map((type) => ALGORITHMS[type] ?? type).join(',');
}
