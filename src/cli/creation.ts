// What the workstation remembers of a create while it is under way: the record marked `creating`, and the credential.
import { isCode, RdcError } from '../protocol/errors.ts';
import type { Guid, RepoName } from '../protocol/ids.ts';
import type { AgentClient } from './agent-client.ts';
import type { CommandContext } from './context.ts';
import type { Credential } from './credentials.ts';
import { currentPlace, type MachineTarget, placeIn, recordsNamed } from './target.ts';

export interface Creation {
  guid: Guid;
  name: RepoName;
  credential: Credential;
  /** false: the person keeps it where it came from. */
  save: boolean;
  /** false: an earlier create of the same repository was cut off. */
  fresh: boolean;
}

/** An earlier create of the same name on the same machine whose end is unknown. */
export async function pendingCreation(
  command: CommandContext,
  machine: MachineTarget,
  name: string,
): Promise<{ guid: Guid; credential: Credential | undefined } | undefined> {
  const { context } = await currentPlace(command);
  const found = recordsNamed(context, name).find(({ record }) => record.machine === machine.name && record.creating);
  if (found === undefined) return undefined;
  const stored = await command.credentials.get(found.guid);
  return { guid: found.guid, credential: stored && { value: stored.value, kdf: stored.kdf } };
}

/** Both files before the machine is asked: no image may come about whose key nobody has. */
export async function rememberCreation(
  command: CommandContext,
  machine: MachineTarget,
  creation: Creation,
): Promise<void> {
  const { guid, name, credential, save } = creation;
  if (save) await command.credentials.put(guid, credential);
  await command.config.update((draft) => {
    placeIn(draft, machine.context).context.repositories[guid] = { name, machine: machine.name, creating: true };
  });
}

/** It exists. Records of the same name on this machine are of repositories that are gone. */
export async function forgetCreation(
  command: CommandContext,
  machine: MachineTarget,
  { guid, name }: Creation,
): Promise<void> {
  await command.config.update((draft) => {
    const { context } = placeIn(draft, machine.context);
    for (const other of recordsNamed(context, name)) {
      if (other.record.machine === machine.name) delete context.repositories[other.guid];
    }
    context.repositories[guid] = { name, machine: machine.name };
  });
}

/** Takes back what rememberCreation wrote where nothing was created; keeps it, and says so, where that is unclear. */
export async function settleFailedCreation(
  command: CommandContext,
  { client, machine }: { client: AgentClient; machine: MachineTarget },
  { guid, name, save, fresh }: Creation,
  error: unknown,
): Promise<unknown> {
  if (!(await nothingWasCreated(client, guid, { error, fresh }))) {
    const what = save ? 'its credential is kept' : 'remember its credential';
    command.io.warn(
      `"${name}" may still come about on "${machine.name}": ${what}`,
      'the same command again finishes it',
    );
    return error;
  }
  await command.config.update((draft) => {
    delete placeIn(draft, machine.context).context.repositories[guid];
  });
  // An earlier create may have made the image where the machine does not see it now: a datastore that is not mounted.
  if (save && fresh) await command.credentials.remove(guid);
  return error;
}

async function nothingWasCreated(
  client: AgentClient,
  guid: Guid,
  { error, fresh }: { error: unknown; fresh: boolean },
): Promise<boolean> {
  // A run that is cancelled, or that its agent's end cut off, stops where it stands: it may leave an image that is not listed.
  if (isCode(error, 'INTERRUPTED', 'RUN_INTERRUPTED', 'CONNECTION_LOST', 'UNREACHABLE', 'CANCELLED')) return false;
  // The create that was cut off may go on, or have ended well long ago: only another repository of this name proves that not.
  if (!fresh && !isCode(error, 'ALREADY_EXISTS')) return false;
  try {
    const { repositories } = await client.call('repo.list', {});
    return repositories.every((repo) => repo.guid !== guid);
  } catch (unclear) {
    if (!(unclear instanceof RdcError)) throw unclear;
    return false;
  }
}
