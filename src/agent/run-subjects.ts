// What a run locks: its repository; a create also the name, so that two workstations cannot make two of it; setup the
// machine.
import type { System } from '../lifecycle/system.ts';
import type { RepoRef } from '../protocol/ids.ts';
import type { InputOf, RunOperation } from '../protocol/operations.ts';
import { requireMachine } from './machine-record.ts';
import { createRepoStore } from './repo-store.ts';
import type { RunSubject } from './runs.ts';

export async function runSubjects(system: System, operation: RunOperation, input: unknown): Promise<RunSubject[]> {
  if (operation === 'machine.setup') return [{ key: 'machine', subject: 'the machine' }];
  if (operation === 'repo.create') {
    const { name, guid } = input as InputOf<'repo.create'>;
    const subject = JSON.stringify(name);
    return [
      { key: `name-${name}`, subject, repo: name },
      { key: guid, subject, repo: name },
    ];
  }
  const { repo } = input as { repo: RepoRef };
  const { datastore } = await requireMachine(system);
  const { guid, name } = await createRepoStore(system, datastore).resolve(repo);
  return [{ key: guid, subject: JSON.stringify(name), repo: name }];
}
