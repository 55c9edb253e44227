// How the built-in client logs in: with the machine's key file, or with the agent and the usual files, as ssh would.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { AnyAuthMethod, AuthHandlerMiddleware, BaseAgent, ParsedKey } from 'ssh2';
import { loginRefused, passphraseNeeded } from './failure.ts';
import { needsPassphrase } from './key-file.ts';
import type { SshTarget } from './transport.ts';

export interface BuiltinDeps {
  env: NodeJS.ProcessEnv;
  /** Asks a person for the passphrase of a key file; absent when nobody can be asked. */
  askPassphrase?: ((keyFile: string) => Promise<string>) | undefined;
}

type Ssh2 = typeof import('ssh2');
type PublicKey = ParsedKey | Buffer | string | { pubKey: PublicKey };
type Attempt = () => Promise<AnyAuthMethod | undefined>;

const USUAL_KEYS = ['id_ed25519', 'id_ecdsa', 'id_rsa'];

export interface Login {
  handler: AuthHandlerMiddleware;
  /** Why an attempt could not even be made, e.g. a passphrase nobody can give. */
  trouble(): Error | undefined;
}

/** Attempts are made one after another and only while the server asks for more, so nobody is asked in vain. */
export function planLogin(ssh2: Ssh2, target: SshTarget, deps: BuiltinDeps): Login {
  const attempts = target.identityFile === undefined ? usual(ssh2, target, deps) : named(ssh2, target, deps);
  let trouble: Error | undefined;
  const nextMethod = async (): Promise<AnyAuthMethod | false> => {
    for (let attempt = attempts.shift(); attempt !== undefined; attempt = attempts.shift()) {
      try {
        const method = await attempt();
        if (method !== undefined) return method;
      } catch (error) {
        trouble ??= error instanceof Error ? error : new Error(String(error));
      }
    }
    return false;
  };
  // ssh2 takes whatever the handler returns for an answer, so it must return nothing; `false` (to give up) is missing in its types.
  const handler: AuthHandlerMiddleware = (_left, _partial, next) => {
    void nextMethod().then(next as unknown as (method: AnyAuthMethod | false) => void);
  };
  return { handler, trouble: () => trouble };
}

function usual(ssh2: Ssh2, target: SshTarget, deps: BuiltinDeps): Attempt[] {
  const directory = join(deps.env.HOME ?? homedir(), '.ssh');
  return [
    () => fromAgent(ssh2, target, deps),
    ...USUAL_KEYS.map((name) => () => fromFile(ssh2, target, join(directory, name), deps)),
  ];
}

function named(ssh2: Ssh2, target: SshTarget, deps: BuiltinDeps): Attempt[] {
  const file = target.identityFile ?? '';
  return [() => fromAgent(ssh2, target, deps, file), () => fromFile(ssh2, target, file, deps, { required: true })];
}

/** With `onlyKeyOf` the agent offers that one key (IdentitiesOnly), and only where the file itself is locked. */
async function fromAgent(
  ssh2: Ssh2,
  { user }: SshTarget,
  { env }: BuiltinDeps,
  onlyKeyOf?: string,
): Promise<AnyAuthMethod | undefined> {
  const socket = env.SSH_AUTH_SOCK;
  if (socket === undefined || socket === '') return undefined;
  if (onlyKeyOf === undefined) return { type: 'agent', username: user, agent: socket };
  const [secret, open] = await Promise.all([readText(onlyKeyOf), readText(`${onlyKeyOf}.pub`)]);
  if (secret === undefined || open === undefined || !needsPassphrase(secret)) return undefined;
  const wanted = ssh2.utils.parseKey(open);
  if (wanted instanceof Error) return undefined;
  return { type: 'agent', username: user, agent: oneKeyAgent(ssh2, socket, wanted) };
}

function oneKeyAgent(ssh2: Ssh2, socket: string, wanted: ParsedKey): BaseAgent {
  const agent = new ssh2.OpenSSHAgent(socket);
  const all = agent.getIdentities.bind(agent);
  agent.getIdentities = (callback) =>
    all((error, keys) =>
      callback(
        error,
        keys?.filter((key) => samePublicKey(ssh2, key, wanted)),
      ),
    );
  return agent;
}

function samePublicKey(ssh2: Ssh2, key: PublicKey, wanted: ParsedKey): boolean {
  if (typeof key === 'object' && 'pubKey' in key) return samePublicKey(ssh2, key.pubKey, wanted);
  const parsed = Buffer.isBuffer(key) || typeof key === 'string' ? ssh2.utils.parseKey(key) : key;
  return !(parsed instanceof Error) && parsed.getPublicSSH().equals(wanted.getPublicSSH());
}

async function fromFile(
  ssh2: Ssh2,
  target: SshTarget,
  file: string,
  { askPassphrase }: BuiltinDeps,
  { required }: { required: boolean } = { required: false },
): Promise<AnyAuthMethod | undefined> {
  const text = await readText(file);
  if (text === undefined) return undefined;
  const locked = needsPassphrase(text);
  if (locked && askPassphrase === undefined) {
    if (required) throw passphraseNeeded(target, file);
    return undefined;
  }
  const key = ssh2.utils.parseKey(text, locked ? await askPassphrase?.(file) : undefined);
  if (key instanceof Error || !key.isPrivateKey()) {
    const reason = locked ? `wrong passphrase for the key ${file}` : `${file} is no private key`;
    throw loginRefused(target, reason, undefined, key instanceof Error ? key : undefined);
  }
  return { type: 'publickey', username: target.user, key };
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}
