// What repositories need of the host's network is put back where it is gone: the guard, and the one rule in a firewall
// tool of the host. What is whole is not talked about.

import { converge, planSteps } from '../lifecycle/run-plan.ts';
import type { Step } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import type { PlanStep } from '../protocol/events.ts';
import { type FirewallFacts, observeFirewallAlone } from './firewall-facts.ts';
import { firewallRuleSteps } from './firewall-rules.ts';
import { type GuardState, observeGuard, repairGuardStep } from './guard-state.ts';
import type { RunContext } from './handlers.ts';
import { GUARD_FILE } from './layout.ts';

interface NetworkFacts {
  guard: GuardState;
  firewall: FirewallFacts;
}

async function observeNetwork(system: System): Promise<NetworkFacts> {
  const rules = (await system.readFile(GUARD_FILE)) ?? '';
  return { guard: await observeGuard(system, rules), firewall: await observeFirewallAlone(system) };
}

export async function planNetworkRepair(system: System): Promise<PlanStep[]> {
  const facts = await observeNetwork(system);
  return planSteps(dueSteps(facts), facts);
}

export async function repairNetwork({ system, report }: Pick<RunContext, 'system' | 'report'>): Promise<void> {
  const due = dueSteps(await observeNetwork(system));
  if (due.length > 0) await converge(due, { system, report, observe: () => observeNetwork(system) });
}

function dueSteps(facts: NetworkFacts): Step<NetworkFacts>[] {
  return [...firewallRuleSteps(), repairGuardStep()].filter((step) => !step.isDone(facts));
}
