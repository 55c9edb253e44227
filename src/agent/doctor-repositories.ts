// What of repositories is not as any command leaves it: broken ones, units that failed.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import type { Check, RepoSummary } from '../protocol/operations.ts';

export type OpenRepo = Pick<RepoSummary, 'name' | 'guid' | 'networkId' | 'state'>;

export async function examineRepositories(system: System, repos: readonly OpenRepo[]): Promise<Check[]> {
  return [checkStates(repos), await checkFailedUnits(system)];
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
