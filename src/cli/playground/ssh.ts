// Reaching a virtual machine with the system's OpenSSH, without the person's own ssh configuration, agent or known hosts.

import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { type ExecResult, exec } from './exec.ts';
import type { VmInstance } from './instance.ts';

type Reachable = Pick<VmInstance, 'sshHost' | 'sshPort' | 'identityFile' | 'knownHostsFile'>;

/** Arguments for ssh up to and including the destination. */
export function sshArgs(vm: Reachable, user: string, extra: readonly string[] = []): string[] {
  const options = {
    IdentityFile: `"${vm.identityFile}"`,
    IdentitiesOnly: 'yes',
    IdentityAgent: 'none',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: `"${vm.knownHostsFile}"`,
    GlobalKnownHostsFile: '/dev/null',
    LogLevel: 'ERROR',
  };
  const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return ['-F', '/dev/null', ...words, ...extra, '-p', String(vm.sshPort), `${user}@${vm.sshHost}`];
}

export async function writeKnownHosts(file: string, port: number, hostKeys: readonly string[]): Promise<void> {
  await writeFile(file, hostKeys.map((key) => `[127.0.0.1]:${port} ${key}\n`).join(''));
}

/** One remote command, as a shell line. Exit code 255 is ssh's own failure. */
export function sshRun(
  vm: Reachable,
  user: string,
  command: string,
  options: { signal?: AbortSignal | undefined; timeoutMs?: number; input?: string } = {},
): Promise<ExecResult> {
  const extra = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=20'];
  const anyExit = Array.from({ length: 256 }, (_, code) => code);
  return exec(['ssh', ...sshArgs(vm, user, extra), '--', command], { ...options, allow: anyExit });
}

/** Whether something on this port speaks SSH. QEMU accepts connections long before the guest does. */
export function hasSshBanner(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('data', (chunk) => settle(chunk.toString('latin1').startsWith('SSH-2.0')));
    for (const event of ['error', 'timeout', 'close'] as const) socket.once(event, () => settle(false));
  });
}
