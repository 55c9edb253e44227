// What both clients refuse before anything is sent.
import { accessSync, constants } from 'node:fs';
import { RdcError } from '../../protocol/errors.ts';
import { hostKeyUnknown, loginRefused } from './failure.ts';
import type { SshTarget } from './transport.ts';

/** Refuses what ssh could read as an option or a shell could split (CONFIG_INVALID), a machine without a pinned key (HOST_KEY), and a key file that cannot be read (SSH_LOGIN): ssh would only warn and try other ways in. */
export function checkTarget(target: SshTarget): void {
  const { host, user, port } = target;
  if (!isUsableHost(host)) throw unusable(target, 'host', host);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}$/.test(user)) throw unusable(target, 'user', user);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw unusable(target, 'port', String(port));
  if (target.hostKeys.length === 0) throw hostKeyUnknown(target);
  for (const key of target.hostKeys) {
    if (!/^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*$/.test(key)) throw unusable(target, 'host key', key);
  }
  checkIdentity(target);
}

/** A name or an address, and nothing that ssh could read as an option or hand to a shell. */
export function isUsableHost(host: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.:%-]{0,254}$/.test(host);
}

function unusable({ machine }: SshTarget, what: string, value: string): RdcError {
  return new RdcError('CONFIG_INVALID', `machine "${machine}" has no usable ${what}: ${JSON.stringify(value)}`);
}

function checkIdentity(target: SshTarget): void {
  if (target.identityFile === undefined) return;
  try {
    accessSync(target.identityFile, constants.R_OK);
  } catch (cause) {
    const reason = `cannot read the key ${target.identityFile}`;
    throw loginRefused(target, reason, 'give the path of the private key with --ssh-key', cause);
  }
}
