// The record of a repository in config.json, once the machine has told its GUID.
import type { Guid, RepoName } from '../protocol/ids.ts';
import { repoNameSchema } from '../protocol/ids.ts';
import type { CommandContext } from './context.ts';
import { type MachineTarget, placeIn } from './target.ts';

/** True when it was not recorded like this before. */
export async function recordRepository(
  { config }: CommandContext,
  machine: MachineTarget,
  { guid, name }: { guid: Guid; name: RepoName | string },
): Promise<boolean> {
  return await config.update((draft) => {
    const { repositories } = placeIn(draft, machine.context).context;
    const known = repositories[guid];
    const record = { name: repoNameSchema.parse(name), machine: machine.name };
    repositories[guid] = record;
    return known?.name !== record.name || known.machine !== record.machine || known.creating === true;
  });
}
