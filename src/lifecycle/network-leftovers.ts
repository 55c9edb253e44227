// What is left over of a network id: namespace, link, units and the runtime files of a daemon. It belongs to the repository
// that has the id, or to nobody.
import { command } from './command.ts';
import { type Leftover, MACHINE } from './leftover.ts';
import { isOpen, type NetworkTraces, type RepoTraces } from './leftover-facts.ts';
import { dropIns, orphanUnits } from './repo-leftovers.ts';
import type { Action } from './step.ts';
import { run } from './step.ts';

export function networkLeftovers(traces: NetworkTraces, owner: RepoTraces | undefined): Leftover[] {
  const { networkId, names, processes } = traces;
  // Its own commands put right what is missing or too much of an open one.
  if (owner !== undefined && isOpen(owner)) return [];
  const subject = owner?.guid ?? MACHINE;
  const repo = owner?.record === undefined ? {} : { repo: owner.record.name };
  if (processes.length > 0) {
    const because = `processes are in it: ${processes.join(', ')}`;
    const fix = `ip netns pids ${names.namespace}; systemctl status ${names.slice}`;
    return [{ kind: 'namespace', what: names.namespace, subject, ...repo, because, fix }];
  }
  const why =
    owner === undefined
      ? `no repository has the network id ${networkId}, and no process is in it`
      : 'its repository is closed and no command works on it, and no process is in it';
  const one = (kind: Leftover['kind'], what: string, removal: Action[]): Leftover => ({
    ...{ kind, what, subject, ...repo, because: why, removal },
  });
  const all = [
    ...(owner === undefined ? orphanUnits(subject, traces.units, why) : []),
    ...(traces.link ? [one('link', names.hostLink, linkRemoval(names.hostLink))] : []),
    ...(traces.namespace
      ? [one('namespace', names.namespace, [run(command('ip', 'netns', 'del', names.namespace))])]
      : []),
    ...traces.runtimePaths.map((path) =>
      one('runtime file', path, [run(command('rm', '--recursive', '--force', '--one-file-system', '--', path))]),
    ),
    ...dropIns(subject, traces.dropIns, why),
  ];
  return owner === undefined ? all.map((leftover) => ({ ...leftover, group: String(networkId) })) : all;
}

/** The link takes its routes along; the guard, made anew from the routes that are left, its sources. */
function linkRemoval(link: string): Action[] {
  return [
    run(command('ip', 'link', 'del', link)),
    run(command('systemctl', 'try-reload-or-restart', 'rediacc-guard.service')),
  ];
}
