// What a person sets about supervision, on every machine of a context. The notify command is the context's own from then on.
import { RdcError } from '../../protocol/errors.ts';
import type { MachineName } from '../../protocol/ids.ts';
import type { RequestOf } from '../../protocol/operations.ts';
import { runOperation, withAgent } from '../agent-run.ts';
import type { CommandEnd } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { currentPlace, type MachineTarget, machineIn, placeIn } from '../target.ts';

interface Row {
  machine: string;
  result: string;
  reason?: string;
  /** The next command to type. */
  hint?: string;
  run?: string;
}

/** PARTIAL where a machine could not be told; the others are. */
export async function superviseAll(
  command: CommandContext,
  input: RequestOf<'machine.set-supervision'>,
): Promise<CommandEnd> {
  const { config, io } = command;
  const place = await currentPlace(command);
  if (input.notifyCommand !== undefined) {
    await config.update((draft) => {
      placeIn(draft, place.name).context.notifyCommand = input.notifyCommand ?? undefined;
    });
  }
  const rows: Row[] = [];
  for (const name of Object.keys(place.context.machines) as MachineName[]) {
    const row = { machine: name, ...(await tell(command, machineIn(place, name), input)) };
    rows.push(row);
    const run = row.result === 'detached' ? ` as run ${row.run}` : '';
    if (row.reason === undefined) io.say(`${name}: ${row.result}${run}`);
    else io.warn(`${name}: ${row.reason}`, row.hint);
  }
  io.printJson({ context: place.name, dryRun: command.dryRun, machines: rows });
  return rows.some(({ result }) => result === 'failed') ? 'PARTIAL' : undefined;
}

async function tell(
  command: CommandContext,
  machine: MachineTarget,
  input: RequestOf<'machine.set-supervision'>,
): Promise<Omit<Row, 'machine'>> {
  try {
    const end = await withAgent(command, machine, (client) =>
      runOperation(command, { client, machine }, 'machine.set-supervision', input),
    );
    return { result: end.output?.changed === false ? 'already' : end.outcome, run: end.run };
  } catch (error) {
    if (!(error instanceof RdcError) || error.code === 'INTERRUPTED') throw error;
    return { result: 'failed', reason: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
  }
}
