// What can be told of a private key file without its passphrase.
import { readFile } from 'node:fs/promises';

const MAGIC = 'openssh-key-v1\0';

/** Whether the file is a private key that needs a passphrase. False for anything unreadable: the login itself tells. */
export async function isEncryptedKey(path: string | undefined): Promise<boolean> {
  if (path === undefined) return false;
  try {
    return needsPassphrase(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}

/** PEM keys say so in a header; OpenSSH's own format names the cipher behind its magic (PROTOCOL.key). */
export function needsPassphrase(text: string): boolean {
  if (/^Proc-Type:.*ENCRYPTED|BEGIN ENCRYPTED PRIVATE KEY/m.test(text)) return true;
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text)?.[1];
  if (body === undefined) return false;
  const blob = Buffer.from(body, 'base64');
  if (blob.length < MAGIC.length + 4 || blob.toString('latin1', 0, MAGIC.length) !== MAGIC) return false;
  const length = blob.readUInt32BE(MAGIC.length);
  return blob.toString('latin1', MAGIC.length + 4, MAGIC.length + 4 + length) !== 'none';
}
