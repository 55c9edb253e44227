// Checks of a machine or of the workstation, a line each.
import type { Check } from '../protocol/operations.ts';
import type { Paint } from './io.ts';

const MARKS = { ok: '✓', missing: '+', warning: '!', failed: '✗' } as const;

export function renderChecks(checks: readonly Check[], paint: Paint): string {
  const colour = { ok: paint.green, missing: paint.cyan, warning: paint.yellow, failed: paint.red };
  const width = Math.max(0, ...checks.map(({ title }) => title.length));
  const lines = checks.map(({ title, status, found, fix }) => {
    const remedy = fix === undefined || status === 'ok' ? '' : `  ${paint.dim(`-> ${fix}`)}`;
    return `${colour[status](MARKS[status])} ${title.padEnd(width)}  ${found}${remedy}`;
  });
  return lines.join('\n');
}
