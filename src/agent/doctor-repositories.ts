// What of repositories is not as any command leaves it: broken ones, units that failed, namespaces of nobody.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { Check, RepoSummary } from '../protocol/operations.ts';

export type OpenRepo = Pick<RepoSummary, 'name' | 'guid' | 'networkId' | 'state'>;

export async function examineRepositories(system: System, repos: readonly OpenRepo[]): Promise<Check[]> {
  return [checkStates(repos), await checkFailedUnits(system), await checkLinks(system, repos)];
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

async function checkLinks(system: System, repos: readonly OpenRepo[]): Promise<Check> {
  const about = { id: 'leftovers', title: 'namespaces of nobody' };
  const known = new Set(repos.map(({ networkId }) => String(networkId)));
  const names = [
    ...((await system.list('/sys/class/net')) ?? []).filter((name) => /^rdh\d+$/.test(name)),
    ...((await system.list('/run/netns')) ?? []).filter((name) => /^rd\d+$/.test(name)),
  ];
  const left = names.filter((name) => !known.has(name.replace(/^rdh?/, '')));
  if (left.length === 0) return { ...about, status: 'ok', found: 'none' };
  const [first = ''] = left;
  const fix = first.startsWith('rdh') ? `ip link del ${first}` : `ip netns del ${first}`;
  return { ...about, status: 'warning', found: left.join(', '), fix };
}
