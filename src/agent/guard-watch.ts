// Whether somebody takes away the rules that stand between the repositories: `nft monitor` (nft(8)) tells of every change
// in the kernel's tables, and costs nothing while there is none.
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { messageOf } from '../protocol/errors.ts';
import type { SupervisionKind } from '../protocol/supervision.ts';
import { followMonitor, type Monitoring } from './follow-monitor.ts';
import { observeGuard } from './guard-state.ts';
import { GUARD_FILE } from './layout.ts';
import { repairNetwork } from './repair-network.ts';
import { counted, judge, RULES } from './supervision-policy.ts';
import { MACHINE_SUBJECT, type SupervisionRecord } from './supervision-record.ts';

export interface GuardWatchDeps {
  system: System;
  signal: AbortSignal;
  record: SupervisionRecord;
  now(): number;
  isEnabled(): Promise<boolean>;
  tell(kind: SupervisionKind, message: string): void;
  giveUp(reason: string): void;
}

/** A tool that reloads its rules does it in many steps; the guard's own unit too. */
const SETTLE_MS = 1_000;
/** Our table, our rule in the chain of the host's docker, and the tools whose reloads empty more than their own. */
const CONCERNS_US = /^delete .*(\brediacc\b|DOCKER-USER|\bufw|firewalld)/m;

export function watchGuard(deps: GuardWatchDeps): Monitoring {
  const { system, signal, tell } = deps;
  return followMonitor({
    ...{ system, signal, concerns: CONCERNS_US, settleMs: SETTLE_MS, monitor: command('nft', 'monitor') },
    look: () => restoreGuard(deps),
    onTrouble: (error) => tell('failed', `the guard could not be looked at: ${String(error)}`),
  });
}

async function restoreGuard({ system, record, now, isEnabled, tell, giveUp }: GuardWatchDeps): Promise<void> {
  if (!(await isEnabled())) return;
  const rules = (await system.readFile(GUARD_FILE)) ?? '';
  let { links, faults } = await observeGuard(system, rules);
  // No repository is open, so nothing is needed.
  if (links.length === 0) return;
  if (faults.length > 0) {
    // A namespace that is just being made has its route before its rules.
    await system.sleep(SETTLE_MS);
    ({ links, faults } = await observeGuard(system, rules));
  }
  const tries = record.tries(MACHINE_SUBJECT, 'guard');
  const done: string[] = [];
  if (faults.length > 0) {
    const verdict = judge(tries, now(), RULES.guard);
    if (verdict.act === 'give-up') {
      giveUp(`the guard is taken away again and again: ${faults.join(', ')}`);
      return;
    }
    await system.sleep(verdict.afterMs);
  }
  try {
    await repairNetwork({
      system,
      report(event) {
        if (event.kind === 'step' && event.state === 'done') done.push(event.title);
      },
    });
  } catch (error) {
    const reason = messageOf(error);
    // Counted as well: what we do ourselves is told by the monitor, and must not have us do it for ever.
    record.setTries(MACHINE_SUBJECT, 'guard', counted(tries, now(), RULES.guard));
    tell('failed', `the firewall rules of the repositories could not be put back: ${reason}`);
    return;
  }
  if (done.length === 0) return;
  record.setTries(MACHINE_SUBJECT, 'guard', counted(tries, now(), RULES.guard));
  tell(
    'guard-restored',
    `somebody has changed the firewall (${faults.join(', ') || 'a rule of ours was gone'}): ${done.join(', ')}`,
  );
}
