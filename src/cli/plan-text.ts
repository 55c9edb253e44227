// A plan in words: what --dry-run prints and what -v shows before the work.
import type { PlanStep } from '../protocol/events.ts';
import type { Paint } from './io.ts';

const SIGNS = { change: '+', already: '=', always: '*', unknown: '?' } as const;

export interface PlanStyle {
  /** Also the single actions, where they are known. */
  actions: boolean;
  paint: Paint;
}

export function describePlan(steps: readonly PlanStep[], { actions, paint }: PlanStyle): string {
  if (steps.length === 0) return '= nothing to do';
  const lines = steps.flatMap((step) => {
    const head = `${SIGNS[step.expect]} ${step.title}${remark(step)}`;
    const details = actions ? (step.actions ?? []).map((action) => paint.dim(`    ${action}`)) : [];
    return [step.expect === 'already' ? paint.dim(head) : head, ...details];
  });
  return lines.join('\n');
}

function remark({ expect, already }: PlanStep): string {
  if (expect === 'already') return already === undefined ? ' (already)' : ` (already: ${already})`;
  return expect === 'unknown' ? ' (known once the steps before have run)' : '';
}
