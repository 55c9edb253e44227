// Whether a credential of a workstation's lies where none may: in files that the machine keeps in memory, or anywhere on its
// disks, which holds journal, run logs, core dumps and what was deleted since.
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import type { Desk } from './desk.ts';
import type { TestVm } from './vm.ts';

const CONTROL = 'a-credential-of-nobody';
const JOURNALLED = 'a-credential-in-the-journal';

/** Those that the workstation has now; it forgets them with their repositories. */
export async function credentialsOf(desk: Desk): Promise<string[]> {
  const text = await readFile(join(desk.home, '.config/rediacc/credentials.json'), 'utf8');
  const { credentials } = JSON.parse(text) as { credentials: Record<string, { value: string }> };
  return Object.values(credentials).map(({ value }) => value);
}

/** Switches the machine off. `medium`: a raw disk of its beside those in its directory; `earlier`: what credentialsOf told before. */
export async function expectNoCredential(
  { vm, desk }: { vm: TestVm; desk: Desk },
  { medium, earlier = [] }: { medium?: string; earlier?: Iterable<string> } = {},
): Promise<void> {
  const values = [...new Set([...(await credentialsOf(desk)), ...earlier])];
  expect(values.length).toBeGreaterThan(0);
  // The journal compresses what is longer than 512 bytes (journald.conf(5)).
  await vm.root(`echo "$(printf 'x%.0s' $(seq 2000))${JOURNALLED}" | systemd-cat; journalctl --sync`);
  const journalled = await vm.root('grep -aoFf - <(journalctl --output=export --all) | sort -u', {
    input: `${[...values, JOURNALLED].join('\n')}\n`,
    timeoutMs: 300_000,
  });
  expect(journalled).toBe(JOURNALLED);
  await vm.root(`echo ${CONTROL} | tee /root/control >/run/control; journalctl --sync; sync`);
  const inMemory = await vm.root(`grep -raFlf - /run /tmp /dev/shm; true`, {
    input: `${[...values, CONTROL].join('\n')}\n`,
  });
  expect(inMemory).toBe('/run/control');
  await vm.stop();
  const images = (await readdir(vm.dir)).filter((name) => name.endsWith('.qcow2')).map((name) => join(vm.dir, name));
  const disks = medium === undefined ? images : [...images, medium];
  expect(disks.length).toBeGreaterThan(1);
  // What is found nowhere could have been found.
  expect(await isIn(CONTROL, disks)).toBe(true);
  for (const value of values) expect(await isIn(value, disks)).toBe(false);
}

async function isIn(text: string, files: readonly string[]): Promise<boolean> {
  try {
    await promisify(execFile)('grep', ['-aqF', text, ...files]);
    return true;
  } catch (error) {
    // grep(1): 1 is "none".
    if ((error as { code?: unknown }).code === 1) return false;
    throw error;
  }
}
