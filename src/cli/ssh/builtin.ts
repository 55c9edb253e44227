// A client of our own on ssh2, for workstations without OpenSSH: host, key file or agent, pinned host keys; no ssh
// config, no jumps, no certificates, no hardware keys.
import { PassThrough } from 'node:stream';
import type { Client, ClientChannel, ServerHostKeyAlgorithm } from 'ssh2';
import { RdcError } from '../../protocol/errors.ts';
import { type BuiltinDeps, type Login, planLogin } from './builtin-auth.ts';
import { checkTarget } from './check-target.ts';
import { connectionLost, hostKeyChanged, keyRefused, TurnedAway, unreachable } from './failure.ts';
import { quoteCommand } from './quote.ts';
import { Tail } from './tail.ts';
import type { SessionOptions, SshSession, SshTarget, SshTransport } from './transport.ts';

/** Until the key exchange is done; what follows may wait for a person. */
const CONNECT_TIMEOUT_MS = 15_000;
/** As OpenSSH answers for a command that a signal ended. */
const ENDED_BY_SIGNAL = 255;

export function builtinTransport(deps: BuiltinDeps): SshTransport {
  return {
    name: 'builtin',
    open(target, argv, options = {}) {
      checkTarget(target);
      const asking = options.tty === true ? deps : { ...deps, askPassphrase: undefined };
      return new BuiltinSession(target, quoteCommand(argv), asking, options);
    },
  };
}

class BuiltinSession implements SshSession {
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  readonly ended: Promise<{ exitCode: number }>;
  readonly #stderr = new Tail();
  #client: Client | undefined;
  #settle: { resolve(exitCode: number): void; reject(error: RdcError): void } | undefined;
  #joined = false;
  #closed = false;

  constructor(target: SshTarget, command: string, deps: BuiltinDeps, { signal }: SessionOptions) {
    const outcome = new Promise<{ exitCode: number }>((resolve, reject) => {
      this.#settle = { resolve: (exitCode) => resolve({ exitCode }), reject };
    });
    const close = () => this.close();
    signal?.addEventListener('abort', close, { once: true });
    this.ended = outcome.finally(() => signal?.removeEventListener('abort', close));
    this.ended.catch(() => undefined);
    this.stdin.on('error', () => undefined);
    this.#connect(target, command, deps).catch((error: RdcError) => this.#fail(error));
    if (signal?.aborted === true) this.close();
  }

  stderrText(): string {
    return this.#stderr.text();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#settle?.resolve(ENDED_BY_SIGNAL);
    this.#client?.destroy();
    this.stdin.destroy();
    this.stdout.destroy();
  }

  #fail(error: RdcError): void {
    this.#settle?.reject(error);
    this.#client?.destroy();
    if (!this.#joined) this.stdout.end();
  }

  async #connect(target: SshTarget, command: string, deps: BuiltinDeps): Promise<void> {
    const { default: ssh2 } = await import('ssh2');
    if (this.#closed) return;
    const serverHostKey = pinnedAlgorithms(target);
    const client = new ssh2.Client();
    this.#client = client;
    const login = planLogin(ssh2, target, deps);
    const state = { ready: false, hostKeySeen: false, hostKeyGood: false };
    const timer = setTimeout(() => this.#fail(unreachable(target, 'timed out')), CONNECT_TIMEOUT_MS);
    client.on('handshake', () => clearTimeout(timer));
    client.on('ready', () => {
      state.ready = true;
      client.exec(command, (error, channel) => {
        if (error === undefined) this.#join(target, channel);
        else this.#fail(unreachable(target, 'the server opens no session for this login', error));
      });
    });
    client.on('error', (error) => this.#fail(explain(target, error, state, login)));
    client.on('close', () => {
      clearTimeout(timer);
      this.#fail(state.ready ? connectionLost(target) : unreachable(target, 'the server closed the connection'));
    });
    client.connect({
      host: target.host,
      port: target.port,
      username: target.user,
      authHandler: login.handler,
      algorithms: { serverHostKey },
      hostVerifier: (key: Buffer) => {
        state.hostKeySeen = true;
        state.hostKeyGood = isPinned(target, key);
        return state.hostKeyGood;
      },
      keepaliveInterval: 15_000,
      keepaliveCountMax: 4,
      readyTimeout: 0,
    });
  }

  /** Says goodbye, and does not wait long for a server that does not answer it. */
  #leave(): void {
    const client = this.#client;
    client?.end();
    setTimeout(() => client?.destroy(), 500).unref();
  }

  #join(target: SshTarget, channel: ClientChannel): void {
    let exitCode: number | undefined;
    this.#joined = true;
    this.stdin.pipe(channel);
    channel.pipe(this.stdout);
    channel.on('error', () => undefined);
    channel.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    channel.on('exit', (code: number | null) => {
      exitCode = code ?? ENDED_BY_SIGNAL;
    });
    channel.on('close', () => {
      if (exitCode === undefined) this.#settle?.reject(connectionLost(target));
      else this.#settle?.resolve(exitCode);
      this.#leave();
    });
  }
}

interface LoginState {
  ready: boolean;
  hostKeySeen: boolean;
  hostKeyGood: boolean;
}

function explain(target: SshTarget, error: Error & { level?: string }, state: LoginState, login: Login): RdcError {
  if (state.hostKeySeen && !state.hostKeyGood) return hostKeyChanged(target, error);
  if (/no matching host key format/.test(error.message)) return hostKeyChanged(target, error);
  if (state.ready) return connectionLost(target, error);
  if (error.level === 'client-authentication' || error.level === 'agent') {
    const trouble = login.trouble();
    return trouble instanceof RdcError ? trouble : keyRefused(target, trouble ?? error);
  }
  const reason = reasonOf(error);
  if (reason !== undefined) return unreachable(target, reason, error);
  return state.hostKeySeen
    ? unreachable(target, 'the server closed the connection', error)
    : new TurnedAway(target, error);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'the name does not resolve',
  EAI_AGAIN: 'the name does not resolve',
  EHOSTUNREACH: 'no route',
  ENETUNREACH: 'no route',
  ETIMEDOUT: 'timed out',
};

function reasonOf(error: Error & { code?: unknown }): string | undefined {
  return REASONS[typeof error.code === 'string' ? error.code : ''];
}

function isPinned({ hostKeys }: SshTarget, key: Buffer): boolean {
  return hostKeys.some((pinned) => Buffer.from(pinned.split(' ')[1] ?? '', 'base64').equals(key));
}

/** ssh2 throws for a name it does not know, so a pinned key of such a type (sk-…) is left to the others. */
function pinnedAlgorithms({ hostKeys, machine }: SshTarget): ServerHostKeyAlgorithm[] {
  const known: ServerHostKeyAlgorithm[] = [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'rsa-sha2-512',
    'rsa-sha2-256',
  ];
  const types = new Set(hostKeys.map((key) => key.split(' ')[0]));
  const usable = known.filter((name) => types.has(name.startsWith('rsa-') ? 'ssh-rsa' : name));
  if (usable.length > 0) return usable;
  throw new RdcError('HOST_KEY', `the built-in ssh client cannot check host keys of type ${[...types].join(', ')}`, {
    hint: `rdc context scan-keys ${machine}`,
  });
}
