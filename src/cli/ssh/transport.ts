// One interface, two clients: the system's OpenSSH (openssh.ts) and ssh2 (builtin.ts). Both run against the same tests.
import type { Readable, Writable } from 'node:stream';

export interface SshTarget {
  /** How messages call the machine. */
  machine: string;
  host: string;
  port: number;
  user: string;
  /** Private key file; absent: the agent and the user's ssh config decide. */
  identityFile?: string;
  /** Pinned host keys as in known_hosts without the host field: "ssh-ed25519 AAAA…". Nothing else is trusted. */
  hostKeys: readonly string[];
}

export interface SshSession {
  stdin: Writable;
  stdout: Readable;
  /** Everything the client and the remote side said on stderr so far, bounded to the last 64 KiB. */
  stderrText(): string;
  /** Settles when the session has ended: with the remote command's exit code (255 when a signal ended it), or by rejecting with SSH_LOGIN, HOST_KEY, UNREACHABLE or CONNECTION_LOST when it never began or was lost. Safe to ignore. */
  ended: Promise<{ exitCode: number }>;
  /** Ends the session at once; `ended` then resolves. */
  close(): void;
}

export interface SessionOptions {
  /** Aborting it closes the session. */
  signal?: AbortSignal | undefined;
  /** A person sits at a terminal and can be asked for a passphrase or a touch. Without it nothing may ask. */
  tty?: boolean | undefined;
}

export interface SshTransport {
  readonly name: 'openssh' | 'builtin';
  /** Runs one command (words, quoted by the transport for a POSIX shell) in one new session. */
  open(target: SshTarget, argv: readonly string[], options?: SessionOptions): SshSession;
}
