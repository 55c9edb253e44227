// What a run locks: its repository; a create or fork also the name, so that two workstations cannot make two of it; what closes
// the volume also keeps file transfers out; setup and prune lock the machine (prune each repository as well, in turn).
import type { System } from '../lifecycle/system.ts';
import type { Guid, RepoRef } from '../protocol/ids.ts';
import type { InputOf, RunOperation } from '../protocol/operations.ts';
import { requireMachine } from './machine-record.ts';
import { createRepoStore } from './repo-store.ts';
import type { RunSubject } from './subject-locks.ts';

/** Held shared by whoever works in the mounted volume beside runs, exclusively by whatever closes it. */
export function presenceKey(guid: Guid): string {
  return `use-${guid}`;
}

export async function runSubjects(system: System, operation: RunOperation, input: unknown): Promise<RunSubject[]> {
  if (operation === 'machine.setup' || operation === 'machine.set-supervision' || operation === 'machine.prune')
    return [{ key: 'machine', subject: 'the machine' }];
  if (operation === 'repo.create') {
    const { name, guid } = input as InputOf<'repo.create'>;
    const subject = JSON.stringify(name);
    return [
      { key: `name-${name}`, subject, repo: name },
      { key: guid, subject, repo: name },
    ];
  }
  if (operation === 'repo.fork') return forkSubjects(system, input as InputOf<'repo.fork'>);
  // Each of its repositories has a run with its own lock.
  if (operation === 'machine.autostart') return [{ key: 'autostart', subject: 'the start at boot' }];
  if (operation === 'repo.up-all' || operation === 'repo.down-all')
    return [{ key: 'all', subject: 'all repositories' }];
  const { repo } = input as { repo: RepoRef };
  const { datastore } = await requireMachine(system);
  const store = createRepoStore(system, datastore);
  // What is gone is locked as well: its delete is answered, not refused.
  const gone = operation === 'repo.delete' ? await store.deleted(repo) : undefined;
  const { guid, name } = gone ?? (await store.resolve(repo));
  const subject = JSON.stringify(name);
  const own = { key: guid, subject, repo: name };
  return closesVolume(operation, input) ? [own, { key: presenceKey(guid), subject }] : [own];
}

/** The parent too: it must not be opened, closed or deleted under the copy. */
async function forkSubjects(system: System, { repo, name, guid }: InputOf<'repo.fork'>): Promise<RunSubject[]> {
  const { datastore } = await requireMachine(system);
  const parent = await createRepoStore(system, datastore).resolve(repo);
  const subject = JSON.stringify(name);
  return [
    { key: `name-${name}`, subject, repo: name },
    { key: guid, subject, repo: name },
    { key: parent.guid, subject: JSON.stringify(parent.name) },
  ];
}

function closesVolume(operation: RunOperation, input: unknown): boolean {
  if (operation === 'repo.unmount' || operation === 'repo.delete' || operation === 'repo.restore-header') return true;
  return operation === 'repo.down' && (input as InputOf<'repo.down'>).unmount;
}
