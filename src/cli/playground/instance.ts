// One virtual machine on the workstation: its directory, the record of its run, and what callers get to know about it.
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { RdcError } from '../../protocol/errors.ts';
import { processIdentity } from './process-identity.ts';

/** What a caller needs to reach and to judge a running machine. */
export interface VmInstance {
  name: string;
  dir: string;
  sshHost: '127.0.0.1';
  sshPort: number;
  /** Accounts that the key opens: root, one with passwordless sudo, one whose sudo asks for a password. */
  users: { root: 'root'; deploy: 'deploy'; nosudo: 'nosudo' };
  identityFile: string;
  /** "ssh-ed25519 AAAA…", as in known_hosts without the host field. */
  hostKeys: string[];
  knownHostsFile: string;
  consoleLog: string;
  pid: number;
  accel: 'kvm' | 'tcg';
  flavour: 'playground' | 'server';
  /** As seen from inside the machine. */
  registryMirror: string;
}

const recordSchema = z.object({
  flavour: z.enum(['playground', 'server']),
  /** Directory of the base image that the disks build on. */
  image: z.string(),
  sshPort: z.number().int(),
  cpus: z.number().int(),
  memoryMiB: z.number().int(),
  accel: z.enum(['kvm', 'tcg']),
  pid: z.number().int(),
  /** See process-identity.ts. */
  process: z.string(),
  /** Where the console log of this run begins, in bytes. */
  consoleOffset: z.number().int(),
});

export type VmRecord = z.infer<typeof recordSchema>;

/** Names within the instance's directory. QEMU runs in that directory, so no path of ours meets its option syntax. */
export const VM_FILES = {
  record: 'vm.json',
  root: 'root.qcow2',
  data: 'data.qcow2',
  console: 'console.log',
  qmp: 'qmp.sock',
  pid: 'qemu.pid',
  knownHosts: 'known_hosts',
} as const;

export async function readRecord(dir: string): Promise<VmRecord | undefined> {
  const path = join(dir, VM_FILES.record);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new RdcError('CONFIG_INVALID', `"${path}" is not the record of a virtual machine`, { cause: error });
  }
}

export async function writeRecord(dir: string, record: VmRecord): Promise<void> {
  const path = join(dir, VM_FILES.record);
  await writeFile(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Whether the machine of this record runs. A record from before a reboot of the workstation does not count. */
export async function isRunning(record: VmRecord): Promise<boolean> {
  return (await processIdentity(record.pid)) === record.process;
}

/** Removes everything of a machine that is not running. */
export async function removeInstance(dir: string): Promise<void> {
  const record = await readRecord(dir);
  if (record !== undefined && (await isRunning(record))) {
    throw new RdcError('BUSY', `the virtual machine in "${dir}" is running`);
  }
  await rm(dir, { recursive: true, force: true });
}
