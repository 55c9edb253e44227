// Cutting the agent off at a chosen change, and comparing what the machine is then. The agent is a test build
// (src/agent/fault-hook.ts), which the rdc of the same build brings as every rdc brings its own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { exec } from '../../src/cli/playground/exec.ts';
import type { Desk } from './desk.ts';
import type { Subject } from './remains.ts';
import { type SetUp, startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const BUILD = fileURLToPath(new URL('../../scripts/build.mjs', import.meta.url));
const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const FAULT_FILE = '/run/rediacc/fault.json';

export interface Fault {
  /** Number of the change, from 1. */
  at: number;
  when: 'before' | 'during' | 'after';
}

export interface Faulty extends SetUp {
  destroy(): Promise<void>;
}

/** A machine that is set up, with an agent that can be cut off. */
export async function startFaulty(): Promise<Faulty> {
  const directory = await mkdtemp(join(tmpdir(), 'rdc-faults-'));
  try {
    await exec([process.execPath, BUILD, '--faults', directory], { cwd: PROJECT, timeoutMs: 300_000 });
    const { vm, desk } = await startSetUp({ program: join(directory, 'rdc/main.js') });
    const destroy = async () => {
      await desk.destroy();
      await vm.destroy();
      await rm(directory, { recursive: true, force: true });
    };
    return { vm, desk, destroy };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** The changes that a command makes, in words; it must end well. */
export async function changesOf({ vm, desk }: SetUp, line: string): Promise<string[]> {
  await arm(vm, {});
  await desk.done(line);
  return (await noted(vm)).changes;
}

/** Runs a command whose agent is killed there, then the same once more, which must end well. False: it did not come to that change. */
export async function cutOffAndRepeat({ vm, desk }: SetUp, line: string, fault: Fault): Promise<boolean> {
  await arm(vm, fault);
  const { exitCode, stderr } = await desk.rdc(line);
  const { hit } = await noted(vm);
  await vm.root(`rm ${FAULT_FILE}`);
  if (!hit) {
    expect([exitCode, stderr], line).toEqual([0, expect.any(String)]);
    return false;
  }
  // Cut off before it had told its id, rdc begins it anew by itself.
  if (exitCode !== 0) {
    expect(stderr, line).toContain('was interrupted: the agent of the machine ended before it did');
    expect(exitCode, stderr).toBe(1);
  }
  await desk.done(line);
  return true;
}

async function arm(vm: TestVm, fault: Partial<Fault>): Promise<void> {
  await vm.root(`umask 077; cat >${FAULT_FILE}`, { input: JSON.stringify(fault) });
}

async function noted(vm: TestVm): Promise<{ changes: string[]; hit: boolean }> {
  const { changes = [], hit = false } = JSON.parse(await vm.root(`cat ${FAULT_FILE}`));
  return { changes, hit };
}

/**
 * Everything of repositories on the machine that is the same after the same command, whatever was there before: files (of volumes only that they are mounted),
 * records without times, key slots, header backups, devices, mounts, units, namespaces, programs that the agent left. GUID and
 * network id of the one repository there is stand as words.
 */
export async function stateOf(vm: TestVm, repo: Subject | undefined): Promise<string[]> {
  const script = `
    show() { what=$1; shift; "$@" 2>/dev/null | sed "s/^/$what: /"; }
    cd /mnt/rediacc
    show file find .state .credentials repositories repos -mindepth 1 -maxdepth 2 -not -path 'repos/*/*' -not -name retired-network-ids.json -not -name keys -printf '%M %u %p\\n'
    show run find /run/rediacc /run/systemd/system -path '*rediacc*' -not -name '*.lock' -not -name needs-down -not -path ${FAULT_FILE} -not -path '*/exec/*' -not -path '*/docker/*' -printf '%y %p\\n'
    show temporary find /etc/rediacc /run/rediacc /var/lib/rediacc .state .credentials repositories repos '(' -name '*.tmp' -o -name '*.new' -o -name '*.probe*' ')' -not -path '*/.rediacc/docker/*'
    for record in .state/*-*-*-*-*.json; do show record jq -cS 'del(.createdAt, .lastUp.at, .lastUp.run)' $record; done
    for image in repositories/*; do
      cryptsetup luksDump --dump-json-metadata $image | jq -c '{slots: .keyslots | keys}'
      backup=.state/\${image#*/}.luks-header
      cmp -n $(stat -c %s $backup) $image $backup >/dev/null 2>&1 && echo "backup: of the header"
      echo "size: $(stat -c %s $image)"
    done
    show mapping ls /dev/mapper
    show loop losetup --noheadings --output BACK-FILE,AUTOCLEAR,SIZELIMIT
    show mount findmnt --raw --noheadings --output TARGET,FSTYPE | grep rediacc
    show namespace ip netns list | sed 's/ (id.*//'
    show unit systemctl list-units --plain --no-legend --all 'rediacc-*@*' 'rediacc-*.slice' 'rediacc-function-*' 'rediacc-freeze-*' 'rediacc-resize-*' | grep -v not-found | awk '{print $1, $2, $4}'
    for pid in $(cat /sys/fs/cgroup/system.slice/rediacc-agent.service/cgroup.procs); do
      [ $pid = $(systemctl show -p MainPID --value rediacc-agent) ] || show program cat /proc/$pid/comm
    done | grep -v -e nft -e setpriv -e udevadm
    true`;
  const lines = (await vm.root(script)).split('\n').filter((line) => line !== '');
  if (repo === undefined) return lines.sort();
  return lines.map((line) => line.replaceAll(repo.guid, 'GUID').replaceAll(String(repo.networkId), 'ID')).sort();
}

/** What goes on a moment longer than the command, such as a lock's label, may still come to it. */
export async function expectState(
  state: () => Promise<string[]>,
  wanted: readonly string[],
  why: string,
): Promise<void> {
  const deadline = Date.now() + 30_000;
  let found = await state();
  while (found.join('\n') !== wanted.join('\n') && Date.now() < deadline) found = await state();
  expect(found, why).toEqual(wanted);
}

export async function subjectOf(desk: Desk, name: string): Promise<Subject> {
  const { guid, networkId } = await desk.json<{ guid: string; networkId: number }>(`repo status ${name}`);
  return { guid, networkId };
}
