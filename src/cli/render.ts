// Results for people. Every command has one function here or builds on these; --json takes the same values unrendered.
import type { Io, Paint } from './io.ts';

/** Columns under a head; without a terminal as well, since the words are the same. */
export async function renderTable(head: readonly string[], rows: readonly (readonly string[])[], paint: Paint) {
  const { default: Table } = await import('cli-table3');
  const none = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '' };
  const sides = { 'bottom-left': '', 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '' };
  const table = new Table({
    head: head.map((title) => paint.dim(title)),
    chars: { ...none, ...sides, right: '', 'right-mid': '', middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** "name   value" lines, values in one column; pairs without a value are left out. */
export function renderFacts(facts: readonly (readonly [string, string | undefined])[], paint: Paint): string {
  const known = facts.filter((fact): fact is readonly [string, string] => fact[1] !== undefined);
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, value]) => `${paint.dim(name.padEnd(width))}  ${value}`).join('\n');
}

/** The state of a repository or a service, coloured. */
export function paintState(state: string, paint: Paint): string {
  if (['up', 'running', 'active', 'healthy', 'ok', 'done'].includes(state)) return paint.green(state);
  if (['broken', 'failed', 'unhealthy', 'dead'].includes(state)) return paint.red(state);
  return ['partial', 'warning', 'restarting', 'interrupted'].includes(state) ? paint.yellow(state) : state;
}

/** "2026-03-01 10:02:44", local time. */
export function renderTime(at: number): string {
  const date = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 19).replace('T', ' ');
}

/** What a command that changes things says at its end; a dry run says that it did not. */
export function sayDone(io: Io, dryRun: boolean, text: string): void {
  io.say(
    dryRun ? `${io.paintErr.yellow('dry run, nothing is changed:')} ${text}` : `${io.paintErr.green('✓')} ${text}`,
  );
}
