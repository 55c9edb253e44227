// A machine tells the GUIDs of its repositories, and credentials are kept by GUID: one that lies, or that holds a copy of
// another machine's image, must not get at the credential of a repository elsewhere, nor at the place where it is kept.
import { RdcError } from '../protocol/errors.ts';
import type { ContextName, Guid, MachineName } from '../protocol/ids.ts';
import { entry } from './config-file.ts';
import type { CommandContext } from './context.ts';
import type { MachineTarget } from './target.ts';

/** Throws unless `told` is the GUID that was asked for or, where only a name was, one that is known nowhere else. */
export async function refuseForeignGuid(
  command: CommandContext,
  { machine, guid: asked }: { machine: MachineTarget; guid: Guid | undefined },
  told: Guid,
): Promise<void> {
  if (asked === told) return;
  if (asked !== undefined) throw foreign(machine, told);
  const places = await placesOf(command, machine, told);
  if (places.elsewhere.length > 0) throw foreign(machine, told, places.elsewhere[0]);
  // After remove-machine nothing tells whose credential it is: only a person can.
  if (!places.here && (await command.credentials.get(told)) !== undefined) throw foreign(machine, told);
}

interface Places {
  /** Recorded on this machine. */
  here: boolean;
  /** Names of other machines on which it is recorded, in whatever context. */
  elsewhere: MachineName[];
}

export async function placesOf({ config }: CommandContext, target: MachineTarget, guid: Guid): Promise<Places> {
  const places: Places = { here: false, elsewhere: [] };
  const { contexts } = await config.read();
  for (const [context, { machines, repositories }] of Object.entries(contexts)) {
    const record = entry(repositories, guid);
    if (record === undefined) continue;
    const machine = entry(machines, record.machine);
    const isNamedSo = (context as ContextName) === target.context && record.machine === target.name;
    const isSameServer = machine?.ip === target.machine.ip && machine.port === target.machine.port;
    if (isNamedSo || isSameServer) places.here = true;
    else places.elsewhere.push(record.machine);
  }
  return places;
}

function foreign({ name }: MachineTarget, told: Guid, elsewhere?: MachineName): RdcError {
  const whose = elsewhere === undefined ? 'another repository' : `a repository on "${elsewhere}"`;
  return new RdcError('FAILED', `machine "${name}" answers with the GUID of ${whose}: nothing is sent or saved`, {
    hint: `only if you know that it is there: rdc repo adopt ${told} -m ${name}`,
  });
}
