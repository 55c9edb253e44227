import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CPIO_TYPE, writeCpio } from '../../../src/cli/playground/cpio.ts';
import { lockFile } from '../../../src/cli/playground/file-lock.ts';
import { ensureIdentity } from '../../../src/cli/playground/identity.ts';
import { isRunning, readRecord, type VmRecord, writeRecord } from '../../../src/cli/playground/instance.ts';
import { bzImagePayload } from '../../../src/cli/playground/kernel.ts';
import { processIdentity } from '../../../src/cli/playground/process-identity.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'playground-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

it('makes keys and a machine id once per machine, and gives the guest its half in a private file', async () => {
  const first = await ensureIdentity(dir, 'one');
  const second = await ensureIdentity(dir, 'one');
  expect(second).toEqual(first);
  expect(first.machineId).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}8[0-9a-f]{15}$/);
  expect(first.hostKeys).toEqual([expect.stringMatching(/^ssh-ed25519 AAAA\S+$/)]);
  const file = join(dir, first.smbiosFiles[0] ?? '');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const [, encoded = ''] = (await readFile(file, 'utf8')).split(/^io\.systemd\.credential\.binary:tmpfiles\.extra=/);
  const lines = Buffer.from(encoded, 'base64').toString();
  expect(lines).toContain('f~ /home/deploy/.ssh/authorized_keys 0600 deploy deploy - ');
  expect(lines).toContain('f~ /etc/ssh/ssh_host_ed25519_key 0600 root root - ');
});

it('writes a newc archive whose parts are aligned and which ends with the trailer', () => {
  const archive = writeCpio([
    { path: 'bin', mode: CPIO_TYPE.directory | 0o755 },
    { path: 'bin/a', mode: CPIO_TYPE.file | 0o755, data: Buffer.from('hello') },
  ]);
  expect(archive.length % 4).toBe(0);
  expect(archive.toString('latin1').match(/070701/g)).toHaveLength(3);
  expect(archive.toString('latin1')).toContain('bin/a\0');
  expect(archive.toString('latin1')).toContain('TRAILER!!!');
});

it('finds the payload of a bzImage by its header', () => {
  const image = Buffer.alloc(2048);
  image[0x1f1] = 1;
  image.write('HdrS', 0x202);
  image.writeUInt32LE(16, 0x248);
  image.writeUInt32LE(7, 0x24c);
  image.write('payload', 1024 + 16);
  expect(bzImagePayload(image).toString()).toBe('payload');
  expect(() => bzImagePayload(Buffer.alloc(2048))).toThrow('not a bzImage');
});

it('does not take a reused process id for the machine', async () => {
  const record: Omit<VmRecord, 'process'> = {
    flavour: 'playground',
    accel: 'tcg',
    image: '/cache/x',
    ...{ sshPort: 1, cpus: 2, memoryMiB: 512, pid: process.pid, consoleOffset: 0 },
  };
  const identity = (await processIdentity(process.pid)) ?? '';
  expect(await isRunning({ ...record, process: identity })).toBe(true);
  expect(await isRunning({ ...record, process: identity.replace(/:.*/, ':1') })).toBe(false);
  await writeRecord(dir, { ...record, process: identity });
  expect(await readRecord(dir)).toEqual({ ...record, process: identity });
});

it('refuses a torn record and names the file', async () => {
  execFileSync('sh', ['-c', `printf '{"pid":' > ${join(dir, 'vm.json')}`]);
  await expect(readRecord(dir)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

it('lets one holder at a time have a lock, and says so to who waits', async () => {
  const file = join(dir, 'lock');
  const first = await lockFile(file);
  const events: string[] = [];
  const second = lockFile(file, { onWait: () => events.push('waits') }).then((lock) => {
    events.push('got it');
    return lock;
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(events).toEqual(['waits']);
  await first.release();
  await (await second).release();
  expect(events).toEqual(['waits', 'got it']);
});

it('stops waiting for a lock when interrupted', async () => {
  const file = join(dir, 'lock');
  const first = await lockFile(file);
  const controller = new AbortController();
  const waiting = lockFile(file, { signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await expect(waiting).rejects.toMatchObject({ code: 'INTERRUPTED' });
  await first.release();
});
