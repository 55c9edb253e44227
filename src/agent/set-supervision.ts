// machine supervision: what a person may set about the supervisor, kept in the machine's record.
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { DEFAULT_SUPERVISION, type SupervisionSettings } from '../protocol/supervision.ts';
import type { Finished, RunContext } from './handlers.ts';
import { MACHINE_FILE } from './layout.ts';
import { machineText, requireMachine } from './machine-record.ts';

export async function setSupervision(
  input: InputOf<'machine.set-supervision'>,
  context: RunContext,
): Promise<Finished<OutputOf<'machine.set-supervision'>>> {
  const { system, dryRun, report } = context;
  const record = await requireMachine(system);
  const before = record.supervision ?? DEFAULT_SUPERVISION;
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
  const wanted: SupervisionSettings = { ...before, ...given };
  const changed = (Object.keys(wanted) as (keyof SupervisionSettings)[]).some((key) => wanted[key] !== before[key]);
  if (dryRun) {
    const step = { id: 'supervision.set', title: 'note what is set about the supervision' };
    const already = { expect: 'already' as const, already: 'that is set already' };
    report({ kind: 'plan', steps: [{ ...step, ...(changed ? { expect: 'change' as const } : already) }] });
    return { outcome: 'planned' };
  }
  if (changed) await system.writeFile(MACHINE_FILE, machineText({ ...record, supervision: wanted }), 0o600);
  return { outcome: 'done', output: { ...wanted, changed } };
}
