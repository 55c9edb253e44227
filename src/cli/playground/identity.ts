// What makes one virtual machine different from the next: its keys, machine id and name. The base image has none of it;
// systemd reads it at boot as credentials from SMBIOS OEM strings (systemd.exec(5), systemd-tmpfiles(8) "tmpfiles.extra").
import { randomBytes } from 'node:crypto';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from './exec.ts';

export interface MachineIdentity {
  /** 32 lower-case hex digits. */
  machineId: string;
  /** Private key that logs in as root, deploy and nosudo. */
  identityFile: string;
  /** "ssh-ed25519 AAAA…", as in known_hosts without the host field. */
  hostKeys: string[];
  /** Files for QEMU's -smbios type=11, relative to the instance's directory. */
  smbiosFiles: string[];
}

const FILES = {
  machineId: 'machine-id',
  userKey: 'id_ed25519',
  hostKey: 'ssh_host_ed25519_key',
  credential: 'credential.smbios',
} as const;

/** Creates what is missing in the instance's directory and returns it; a second call changes nothing. */
export async function ensureIdentity(dir: string, name: string, signal?: AbortSignal): Promise<MachineIdentity> {
  const path = (file: string) => join(dir, file);
  if (!(await exists(path(FILES.machineId)))) {
    // A version 4 UUID without dashes, as machine-id(5) asks for.
    const id = randomBytes(16)
      .toString('hex')
      .replace(/^(.{12})./, '$14')
      .replace(/^(.{16})./, '$18');
    await writeFile(path(FILES.machineId), id);
  }
  for (const key of [FILES.userKey, FILES.hostKey]) {
    if (await exists(path(`${key}.pub`))) continue;
    await exec(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', `playground-${name}`, '-f', path(key)], {
      signal,
      input: 'y\n',
    });
  }
  const [hostKeyPublic, hostKey, userKey, machineId] = await Promise.all(
    [`${FILES.hostKey}.pub`, FILES.hostKey, `${FILES.userKey}.pub`, FILES.machineId].map((file) =>
      readFile(path(file), 'utf8'),
    ),
  );
  const lines = tmpfilesLines({
    name,
    userKey: userKey ?? '',
    hostKey: hostKey ?? '',
    hostKeyPublic: hostKeyPublic ?? '',
  });
  await writeFile(path(FILES.credential), smbiosCredential('tmpfiles.extra', lines), { mode: 0o600 });
  return {
    machineId: (machineId ?? '').trim(),
    identityFile: path(FILES.userKey),
    hostKeys: [(hostKeyPublic ?? '').trim().split(' ').slice(0, 2).join(' ')],
    smbiosFiles: [FILES.credential],
  };
}

/** One OEM string as systemd expects it: io.systemd.credential.binary:NAME=BASE64. */
export function smbiosCredential(name: string, content: string): string {
  return `io.systemd.credential.binary:${name}=${base64(content)}`;
}

export function tmpfilesLines(identity: {
  name: string;
  userKey: string;
  hostKey: string;
  hostKeyPublic: string;
}): string {
  const hosts = `127.0.0.1 localhost\n127.0.1.1 ${identity.name}\n::1 localhost ip6-localhost ip6-loopback\n`;
  // "f" creates only what is missing: what the owner of the machine changes later stays changed.
  const file = (path: string, mode: string, owner: string, content: string) =>
    `f~ ${path} ${mode} ${owner} ${owner} - ${base64(content)}`;
  const lines = [
    file('/etc/hosts', '0644', 'root', hosts),
    // QEMU makes every client come from its gateway: sshd must not hold one client's early end against the next.
    file('/etc/ssh/sshd_config.d/source.conf', '0644', 'root', 'PerSourcePenalties no\n'),
    file('/etc/ssh/ssh_host_ed25519_key', '0600', 'root', identity.hostKey),
    file('/etc/ssh/ssh_host_ed25519_key.pub', '0644', 'root', identity.hostKeyPublic),
    ...[
      ['root', '/root'],
      ['deploy', '/home/deploy'],
      ['nosudo', '/home/nosudo'],
    ].flatMap(([user = '', home = '']) => [
      `d ${home}/.ssh 0700 ${user} ${user} -`,
      file(`${home}/.ssh/authorized_keys`, '0600', user, identity.userKey),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
