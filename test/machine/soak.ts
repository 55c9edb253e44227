// Many ups and downs: what the machine holds after each round must not grow, and no credential may lie about afterwards.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectNoCredential } from './canary.ts';
import type { Desk } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const NAMES = ['one', 'two', 'three', 'four', 'five'];
/** Of which there must not be more after a round than after the first one. */
const COUNTS = {
  loops: 'losetup --list --noheadings | wc -l',
  mappings: 'ls /dev/mapper | wc -l',
  mounts: 'wc -l </proc/self/mountinfo',
  namespaces: 'ip netns list | wc -l',
  links: 'ls /sys/class/net | wc -l',
  units: "systemctl list-units --all --plain --no-legend 'rediacc*' 'run-*' | wc -l",
  'unit files': 'find /run/systemd/system -name "*rediacc*" | wc -l',
  runtime: 'find /run/rediacc | wc -l',
  rules: 'nft list ruleset | wc -l',
  processes: 'ps -e --no-headers -o comm | grep -vc kworker',
  'agent fds': 'ls /proc/$agent/fd | wc -l',
  temporary:
    'find /tmp /var/tmp /mnt/rediacc /usr/lib/rediacc /var/lib/rediacc -path "/mnt/rediacc/repos/*" -prune -o -name "*tmp*" -type f -print | wc -l',
};
/** Which have bounds of their own. */
const SIZES = {
  'agent KiB': "awk '/VmRSS/ {print $2}' /proc/$agent/status",
  'agent pid': 'echo $agent',
  runs: 'ls /var/lib/rediacc/runs | wc -l',
  'runs KiB': 'du -sk /var/lib/rediacc/runs | cut -f 1',
};
const SETTLE_MS = 60_000;
type Sample = Record<string, number>;

/** Declares the tests. A round is an up and a down --unmount of five repositories. */
export function soak(rounds: number): void {
  let vm: TestVm;
  let desk: Desk;

  beforeAll(async () => {
    ({ vm, desk } = await startSetUp({ memoryMiB: 4096 }));
    // Where a process that dies badly leaves its memory, if it may.
    await vm.root('sysctl -q kernel.core_pattern=/var/tmp/core.%e.%p');
    for (const name of NAMES) {
      await desk.done(`repo create ${name} --size 64M`);
      await desk.done(`repo mount ${name}`);
      const { mountPoint } = await desk.json<{ mountPoint: string }>(`repo status ${name}`);
      await vm.root(`printf 'up() { :; }\\ndown() { :; }\\n' >${mountPoint}/Rediaccfile`);
    }
  });
  afterAll(async () => {
    await desk?.destroy();
    await vm?.destroy();
  });

  const sample = async (): Promise<Sample> => {
    const all = { ...COUNTS, ...SIZES };
    const lines = await vm.root(
      `agent=$(systemctl show --property MainPID --value rediacc-agent)\n${Object.values(all).join('\n')}`,
    );
    const values = lines.split('\n').map(Number);
    return Object.fromEntries(Object.keys(all).map((key, index) => [key, values[index] ?? Number.NaN]));
  };

  test(`${rounds * NAMES.length} cycles of up and down --unmount: nothing is left that was not there before`, {
    timeout: (rounds + 2) * 300_000,
  }, async () => {
    const samples: Sample[] = [];
    for (let round = 1; round <= rounds; round++) {
      await desk.done('repo up-all --parallel --concurrency 5');
      await desk.done('repo down-all --unmount --parallel --concurrency 5');
      const now = await sample();
      samples.push(now);
      console.log(
        `round ${round}: ${Object.entries(now)
          .map(([key, value]) => `${key} ${value}`)
          .join(', ')}`,
      );
    }
    const first = samples[0] as Sample;
    // What is just ending, as a worker of udev, is no leak.
    const grown = (now: Sample) => Object.keys(COUNTS).filter((key) => (now[key] ?? 0) > (first[key] ?? 0));
    for (const end = Date.now() + SETTLE_MS; grown(samples.at(-1) as Sample).length > 0 && Date.now() < end; ) {
      samples.push(await sample());
    }
    const last = samples.at(-1) as Sample;
    for (const key of Object.keys(COUNTS)) {
      expect(last[key], `${key}: ${samples.map((one) => one[key]).join(' ')}`).toBeLessThanOrEqual(first[key] ?? 0);
    }
    // Another agent would have begun anew.
    expect(last['agent pid']).toBe(first['agent pid']);
    // Some KiB each, and no more of them than are kept.
    expect(last['runs KiB']).toBeLessThan(201 * 64);
    // Node collects when it likes: a quarter more is no leak, a leak over many rounds is more.
    expect(last['agent KiB']).toBeLessThan((first['agent KiB'] ?? 0) * 1.25 + 8192);
    expect(last.runs).toBeLessThanOrEqual(201);
    // Control: what is left open is counted.
    await desk.done('repo up one');
    const open = await sample();
    for (const key of [
      'loops',
      'mappings',
      'mounts',
      'namespaces',
      'links',
      'units',
      'unit files',
      'runtime',
      'rules',
    ]) {
      expect(open[key], key).toBeGreaterThan(last[key] ?? 0);
    }
  });

  test('an agent that dies badly in the middle of a run leaves no core; control: another process does', async () => {
    const { mountPoint } = await desk.json<{ mountPoint: string }>('repo status one');
    await vm.root(`printf 'up() { touch begun; sleep infinity; }\\n' >${mountPoint}/Rediaccfile`);
    const { ended } = desk.start('repo up one');
    await vm.root(`until [ -e ${mountPoint}/begun ]; do sleep 0.5; done`);
    const agent = 'systemctl show --property MainPID --value rediacc-agent';
    await vm.root(
      `old=$(${agent}); kill -ABRT $old; until p=$(${agent}); [ $p != $old ] && [ $p != 0 ]; do sleep 0.5; done`,
    );
    expect(await ended).toBe(1);
    // systemd makes one dollar of two (systemd.service(5), COMMAND LINES).
    await vm.ssh('root', "systemd-run --quiet --wait --property LimitCORE=infinity sh -c 'kill -ABRT $$$$'");
    expect(await vm.root('cd /var/tmp; ls core.* | cut -d . -f 2')).toBe('sh');
  });

  test('no credential lies on its disks', async () => {
    await expectNoCredential({ vm, desk });
  });
}
