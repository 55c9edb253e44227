// Repositories and their services for people.
import { formatDuration } from '../protocol/duration.ts';
import type { RepoStatus, RepoSummary, Service } from '../protocol/operations.ts';
import { formatSize } from '../protocol/size.ts';
import type { Paint } from './io.ts';
import { paintState, renderFacts, renderTable, renderTime } from './render.ts';
import { fullness, spaceText } from './render-space.ts';

export async function renderServices(services: readonly Service[], paint: Paint): Promise<string> {
  const rows = services.map(({ name, ip, state, health }) => [
    name,
    ip,
    health === undefined ? paintState(state, paint) : `${paintState(state, paint)} (${paintState(health, paint)})`,
  ]);
  return await renderTable(['SERVICE', 'ADDRESS', 'STATE'], rows, paint);
}

export interface ListedRepo extends RepoSummary {
  machine: string;
  /** This workstation has the credential. */
  credentialKnown: boolean;
}

export async function renderRepos(repos: readonly ListedRepo[], now: number, paint: Paint): Promise<string> {
  const rows = asTree(repos).map(({ repo, label }) => [
    label,
    repo.machine,
    paintState(repo.state, paint),
    formatSize(repo.sizeBytes),
    formatSize(repo.allocatedBytes),
    repo.space === undefined ? '-' : fullness(repo.space, paint),
    repo.subnet,
    repo.credentialKnown ? 'known' : '-',
    describeTrouble(repo, now, paint),
  ]);
  const head = ['NAME', 'MACHINE', 'STATE', 'SIZE', 'ON DISK', 'FULL', 'NETWORK', 'CREDENTIAL', ''];
  return await renderTable(head, rows, paint);
}

function describeTrouble({ attention, busy }: ListedRepo, now: number, paint: Paint): string {
  const parts = [
    ...(attention === undefined ? [] : [paint.red('needs attention')]),
    ...(busy === undefined ? [] : [describeBusy(busy, now)]),
  ];
  return parts.join(', ');
}

/** Forks below what they are copies of, in the order in which they were listed. */
function asTree(repos: readonly ListedRepo[]): { repo: ListedRepo; label: string }[] {
  const forksOf = (parent: ListedRepo) =>
    repos.filter((repo) => repo.parent === parent.guid && repo.machine === parent.machine);
  const branch = (repo: ListedRepo, indent: string): { repo: ListedRepo; label: string }[] =>
    forksOf(repo).flatMap((fork) => [
      { repo: fork, label: `${indent}└─ ${fork.name}` },
      ...branch(fork, `${indent}   `),
    ]);
  const hasParent = (repo: ListedRepo) => repos.some((one) => one.guid === repo.parent && one.machine === repo.machine);
  return repos
    .filter((repo) => !hasParent(repo))
    .flatMap((repo) => [
      { repo, label: repo.parent === undefined ? repo.name : `${repo.name} (fork of a deleted one)` },
      ...branch(repo, ''),
    ]);
}

function describeBusy({ operation, actor, since, run }: NonNullable<RepoSummary['busy']>, now: number): string {
  return `${operation} by ${actor} for ${formatDuration(Math.max(0, now - since))} (run ${run})`;
}

/** "512M of memory, 1.5 processors" */
export function limitsText({ memoryBytes, cpus }: RepoStatus['limits']): string {
  const parts = [
    ...(memoryBytes === null ? [] : [`${formatSize(memoryBytes)} of memory`]),
    ...(cpus === null ? [] : [`${cpus} ${cpus === 1 ? 'processor' : 'processors'}`]),
  ];
  return parts.length === 0 ? 'none' : parts.join(', ');
}

type LastUp = NonNullable<RepoStatus['lastUp']>;

export async function renderStatus(status: RepoStatus, machine: string, now: number, paint: Paint): Promise<string> {
  const { volume, lastUp, busy, attention, space, datastore } = status;
  const facts = renderFacts(
    [
      ['repository', status.name],
      ['machine', machine],
      ['state', paintState(status.state, paint)],
      [
        'needs attention',
        attention === undefined
          ? undefined
          : `${paint.red(attention.reason)}, since ${renderTime(attention.since)}; rdc repo up ${status.name} tries anew`,
      ],
      ['busy', busy === undefined ? undefined : describeBusy(busy, now)],
      ['guid', status.guid],
      ['network', `${status.subnet} (id ${status.networkId})`],
      ['fork of', status.parent === undefined ? undefined : (status.parentName ?? 'a repository that is deleted')],
      [
        'size',
        `${formatSize(status.sizeBytes)}, ${formatSize(status.allocatedBytes)} on disk${status.preallocated ? ', preallocated' : ''}`,
      ],
      [
        'resize',
        status.resizingTo === undefined
          ? undefined
          : paint.yellow(`to ${formatSize(status.resizingTo)} was cut off; type it again`),
      ],
      ['inside', space === undefined ? undefined : spaceText(space, paint)],
      [
        'reserve',
        status.reserveBytes === 0
          ? paint.yellow('none: the next mount or up with room enough sets it aside')
          : undefined,
      ],
      ['datastore', datastore === undefined ? undefined : spaceText(datastore, paint)],
      ['image', status.image],
      ['mount point', volume.mounted ? status.mountPoint : undefined],
      ['docker socket', ['up', 'partial', 'failed', 'daemon'].includes(status.state) ? status.dockerSocket : undefined],
      [
        'limits',
        status.limits.memoryBytes === null && status.limits.cpus === null ? undefined : limitsText(status.limits),
      ],
      ['autostart', status.autostart ? 'on' : undefined],
      ['last up', lastUp === undefined ? undefined : describeLastUp(lastUp, machine, paint)],
    ],
    paint,
  );
  return status.services.length === 0 ? facts : `${facts}\n\n${await renderServices(status.services, paint)}`;
}

function describeLastUp({ run, outcome, at, reason }: LastUp, machine: string, paint: Paint): string {
  const when = `${paintState(outcome, paint)} ${renderTime(at)}`;
  if (outcome === 'done') return `${when} (run ${run})`;
  return `${when}${reason === undefined ? '' : `: ${reason}`}; rdc run logs ${run} -m ${machine}`;
}
