// Ends a virtual machine: cleanly within a bounded time, or as a power cut does.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RdcError } from '../../protocol/errors.ts';
import { isRunning, readRecord, VM_FILES, type VmInstance, type VmRecord } from './instance.ts';
import { hasOpen, killProcess, processIdentity, waitForExit } from './process-identity.ts';
import { sshRun } from './ssh.ts';
import { describe } from './start.ts';

export type VmStatus =
  | { state: 'absent' }
  | { state: 'stopped'; record: VmRecord }
  | { state: 'running'; record: VmRecord; vm: VmInstance };

/** Long enough for several repositories to be closed under emulation. */
const POWEROFF_LIMIT_MS = 120_000;

export async function vmStatus(name: string, dir: string): Promise<VmStatus> {
  const record = await readRecord(dir);
  if (record === undefined) return { state: 'absent' };
  if (!(await isRunning(record))) return { state: 'stopped', record };
  return { state: 'running', record, vm: await describe(name, dir, record) };
}

/**
 * Shuts the guest down in order and returns once QEMU has ended. `clean` is false when the guest did not obey in time
 * and was switched off.
 */
export async function stopVm(
  name: string,
  dir: string,
  options: { signal?: AbortSignal | undefined; timeoutMs?: number } = {},
): Promise<{ state: 'already' | 'stopped'; clean: boolean }> {
  const status = await vmStatus(name, dir);
  if (status.state !== 'running') return { state: 'already', clean: true };
  const { record, vm } = status;
  // --no-block: the answer comes before sshd is stopped. A guest that no longer answers is switched off below.
  const asked = await sshRun(vm, vm.users.root, 'systemctl --no-block poweroff', {
    signal: options.signal,
    timeoutMs: 40_000,
  }).catch((error: unknown) => {
    if (error instanceof RdcError && error.code === 'TIMED_OUT') return undefined;
    throw error;
  });
  const limit = asked?.exitCode === 255 || asked === undefined ? 1000 : (options.timeoutMs ?? POWEROFF_LIMIT_MS);
  const clean = await waitForExit(record.pid, record.process, limit);
  if (!clean) await killProcess(record.pid, record.process);
  return { state: 'stopped', clean };
}

/** Ends the machine from one instant to the next. Returns whether it was running. */
export async function powerCut(dir: string): Promise<boolean> {
  const record = await readRecord(dir);
  if (record === undefined || !(await isRunning(record))) return false;
  await killProcess(record.pid, record.process);
  return true;
}

/** Ends a QEMU that was started but whose starter died before it could write the record. */
export async function endOrphan(dir: string): Promise<void> {
  const pid = Number(await readFile(join(dir, VM_FILES.pid), 'utf8').catch(() => '0'));
  const identity = pid > 0 ? await processIdentity(pid) : undefined;
  if (identity !== undefined && (await hasOpen(pid, join(dir, VM_FILES.root)))) await killProcess(pid, identity);
}
