// What --ssh-key names must be a private key that exists: told when it is given, not at the first login.
import { readFile } from 'node:fs/promises';
import { RdcError } from '../protocol/errors.ts';
import type { CommandContext } from './context.ts';
import { expandPath } from './paths.ts';

/** The absolute path. Throws INVALID_INPUT. */
export async function checkedKeyFile({ env, cwd }: CommandContext, given: string): Promise<string> {
  const path = expandPath(given, env, cwd);
  const text = await readKey(path);
  if (/^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/m.test(text)) return path;
  if (/^PuTTY-User-Key-File-/.test(text)) {
    throw notAKey(path, 'is a PuTTY key', `puttygen ${path} -O private-openssh -o ${path}.openssh`);
  }
  if (/^(ssh-|ecdsa-|sk-)\S+ AAAA/.test(text)) {
    throw notAKey(path, 'is a public key', `give the private one: --ssh-key ${path.replace(/\.pub$/, '')}`);
  }
  throw notAKey(path, 'is no private key', 'make one: ssh-keygen -t ed25519');
}

async function readKey(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const why = code === 'ENOENT' ? 'does not exist' : 'cannot be read';
    throw new RdcError('INVALID_INPUT', `the ssh key ${path} ${why}`, { cause });
  }
}

function notAKey(path: string, what: string, hint: string): RdcError {
  return new RdcError('INVALID_INPUT', `${path} ${what}`, { hint });
}
