// What of repositories is not as any command leaves it: broken ones, errors of filesystems, units that failed.
import { observeBlockDevices } from '../lifecycle/block-devices.ts';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { Check, RepoSummary } from '../protocol/operations.ts';

export type OpenRepo = Pick<RepoSummary, 'name' | 'guid' | 'networkId' | 'state'>;

export async function examineRepositories(system: System, repos: readonly OpenRepo[]): Promise<Check[]> {
  return [checkStates(repos), await checkFilesystems(system, repos), await checkFailedUnits(system)];
}

/** Errors that the kernel has met since the last check of a filesystem (Documentation/ABI/testing/sysfs-fs-ext4, errors_count). */
async function checkFilesystems(system: System, repos: readonly OpenRepo[]): Promise<Check> {
  const about = { id: 'filesystems', title: 'filesystems' };
  const { mappings } = await observeBlockDevices(system);
  const counts = await Promise.all(
    ((await system.list('/sys/fs/ext4')) ?? []).map(async (device) => {
      const text = await system.readFile(`/sys/fs/ext4/${device}/errors_count`);
      return { device, errors: Number(text?.trim() ?? 0) };
    }),
  );
  const faults = counts.filter(({ errors }) => errors > 0);
  if (faults.length === 0) return { ...about, status: 'ok', found: 'no errors since their last check' };
  const named = faults.map(({ device, errors }) => {
    const mapping = mappings.find(({ kernelName }) => kernelName === device)?.name;
    const name = repos.find(({ guid }) => mapping === `rediacc-${guid}`)?.name;
    return { errors, name, what: name === undefined ? `/dev/${device}` : `"${name}"` };
  });
  const found = named.map(({ what, errors }) => `${what}: ${errors} ${errors === 1 ? 'error' : 'errors'}`).join(', ');
  const repo = named.find(({ name }) => name !== undefined)?.name;
  const closed = repo === undefined ? 'while it is not mounted' : `after rdc repo down ${repo} --unmount`;
  const fix = `journalctl --dmesg --grep EXT4-fs; then e2fsck -f, ${closed}`;
  return { ...about, status: 'failed', found: `since their last check: ${found}`, fix };
}

function checkStates(repos: readonly OpenRepo[]): Check {
  const about = { id: 'repositories', title: 'repositories' };
  const broken = repos.filter(({ state }) => state === 'broken').map(({ name }) => name);
  if (broken.length === 0) return { ...about, status: 'ok', found: `${repos.length}, none of them broken` };
  const fix = `rdc repo down ${broken[0]} --unmount, then rdc repo up ${broken[0]}`;
  return { ...about, status: 'failed', found: `broken: ${broken.join(', ')}`, fix };
}

async function checkFailedUnits(system: System): Promise<Check> {
  const about = { id: 'failed-units', title: 'failed units' };
  const list = command('systemctl', 'list-units', '--state=failed', '--plain', '--no-legend', 'rediacc*');
  const { stdout } = await system.run(list);
  const failed = stdout.split('\n').flatMap((line) => line.trim().split(/\s+/)[0] || []);
  if (failed.length === 0) return { ...about, status: 'ok', found: 'none' };
  return { ...about, status: 'warning', found: failed.join(', '), fix: `journalctl --unit ${failed[0]}` };
}
