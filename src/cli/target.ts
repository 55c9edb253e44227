// Which context, machine and repository a command means, from config.json alone. Unknown names are told with what is known.
import { RdcError } from '../protocol/errors.ts';
import {
  type ContextName,
  type Guid,
  guidSchema,
  type MachineName,
  machineNameSchema,
  type RepoRef,
  repoRefSchema,
} from '../protocol/ids.ts';
import {
  type Config,
  type ConfigFile,
  type Context,
  entry,
  type Machine,
  type RepositoryRecord,
} from './config-file.ts';
import { suggest } from './did-you-mean.ts';
import { parseValue } from './parse.ts';

/** Where names are looked up: the config, and the context that --context names. */
export interface Where {
  config: ConfigFile;
  contextName: ContextName | undefined;
}

/** The context that a command works in. */
export interface Place {
  name: ContextName;
  context: Context;
}

export interface MachineTarget {
  name: MachineName;
  context: ContextName;
  machine: Machine;
  /** The machine's own key, else the context's; absent: ssh decides. */
  sshKey: string | undefined;
  ssh: NonNullable<Context['ssh']>;
}

export interface RepositoryTarget {
  machine: MachineTarget;
  /** As a person calls it. */
  name: string;
  /** What the machine is asked for: the GUID where it is recorded, so that nothing else of the same name is meant. */
  ref: RepoRef;
  guid: Guid | undefined;
}

export async function currentPlace({ config, contextName }: Where): Promise<Place> {
  return placeIn(await config.read(), contextName);
}

export function placeIn(config: Config, asked: ContextName | undefined): Place {
  const known = Object.keys(config.contexts);
  const name = asked ?? config.current;
  if (name === undefined) {
    if (known.length > 0)
      throw new RdcError('NOT_FOUND', 'no context is current', { hint: `rdc context use ${known[0]}` });
    const hint = 'rdc context create-local NAME --ssh-key PATH';
    throw new RdcError('NOT_FOUND', 'there is no context yet', { hint });
  }
  const context = entry(config.contexts, name);
  if (context !== undefined) return { name, context };
  throw new RdcError('NOT_FOUND', `there is no context "${name}"`, { hint: suggest(name, known, 'context') });
}

export function machineIn({ name: contextName, context }: Place, asked: string | undefined): MachineTarget {
  const known = Object.keys(context.machines) as MachineName[];
  const name = asked === undefined ? onlyMachine(contextName, known) : parseValue(machineNameSchema, asked);
  const machine = entry(context.machines, name);
  if (machine === undefined) {
    throw new RdcError('NOT_FOUND', `there is no machine "${name}" in context "${contextName}"`, {
      hint: suggest(name, known, 'machine'),
    });
  }
  const { ssh = 'auto' } = context;
  return { name, context: contextName, machine, sshKey: machine.sshKey ?? context.sshKey, ssh };
}

function onlyMachine(context: ContextName, known: readonly MachineName[]): MachineName {
  const [first, second] = known;
  if (first === undefined) {
    throw new RdcError('NOT_FOUND', `context "${context}" has no machine`, {
      hint: 'rdc context add-machine NAME --ip ADDRESS --user USER',
    });
  }
  if (second === undefined) return first;
  throw new RdcError('USAGE', `context "${context}" has more than one machine: say which`, {
    hint: `-m ${first}   (known: ${known.join(', ')})`,
  });
}

export async function machineTarget(where: Where, asked: string | undefined): Promise<MachineTarget> {
  return machineIn(await currentPlace(where), asked);
}

/** A repository that another workstation made may be named too: then the machine knows more than we do. */
export async function repositoryTarget(
  where: Where,
  name: string,
  machineName: string | undefined,
): Promise<RepositoryTarget> {
  const place = await currentPlace(where);
  const matches = recordsNamed(place.context, name).filter(
    ({ record }) => machineName === undefined || record.machine === machineName,
  );
  const [match, another] = matches;
  if (match !== undefined && another !== undefined) throw ambiguous(name, matches);
  if (match !== undefined) {
    const machine = machineIn(place, match.record.machine);
    return { machine, name: match.record.name, ref: match.guid, guid: match.guid };
  }
  if (machineName === undefined && Object.keys(place.context.machines).length > 1) throw unknown(name, place);
  const ref = parseValue(repoRefSchema, name);
  const guid = guidSchema.safeParse(name);
  return { machine: machineIn(place, machineName), name, ref, guid: guid.success ? guid.data : undefined };
}

export function recordsNamed(context: Context, name: string): { guid: Guid; record: RepositoryRecord }[] {
  const all = Object.entries(context.repositories) as [Guid, RepositoryRecord][];
  return all
    .filter(([guid, record]) => record.name === name || guid === name)
    .map(([guid, record]) => ({ guid, record }));
}

function ambiguous(name: string, matches: readonly { record: RepositoryRecord }[]): RdcError {
  const machines = matches.map(({ record }) => record.machine);
  const where = [...new Set(machines)];
  return where.length > 1
    ? new RdcError(
        'USAGE',
        `there is a repository "${name}" on ${where.map((machine) => `"${machine}"`).join(' and ')}`,
        {
          hint: `say which: -m ${where[0]}`,
        },
      )
    : new RdcError('USAGE', `"${name}" names more than one repository on "${where[0]}"`, {
        hint: 'name it by its GUID: rdc context show --json',
      });
}

function unknown(name: string, { name: context, context: { repositories } }: Place): RdcError {
  const known = Object.values(repositories).map((record) => record?.name ?? '');
  return new RdcError('NOT_FOUND', `context "${context}" knows no repository "${name}"`, {
    hint: known.length === 0 ? `say on which machine it is: -m MACHINE` : suggest(name, known, 'repository'),
  });
}
