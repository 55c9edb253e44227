// What repositories need of the host's network is put back where it is gone: the guard, and the one rule in a firewall
// tool of the host. What is whole is not talked about.

import { converge } from '../lifecycle/run-plan.ts';
import type { Step } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { type FirewallFacts, observeFirewallAlone } from './firewall-facts.ts';
import { firewallRuleSteps } from './firewall-rules.ts';
import { type GuardState, observeGuard, repairGuardStep } from './guard-state.ts';
import type { RunContext } from './handlers.ts';
import { GUARD_FILE } from './layout.ts';

export interface NetworkFacts {
  guard: GuardState;
  firewall: FirewallFacts;
}

export async function observeNetwork(system: System): Promise<NetworkFacts> {
  const rules = (await system.readFile(GUARD_FILE)) ?? '';
  return { guard: await observeGuard(system, rules), firewall: await observeFirewallAlone(system) };
}

export async function repairNetwork({ system, report }: RunContext): Promise<void> {
  const steps = networkSteps();
  const facts = await observeNetwork(system);
  const due = steps.filter((step) => !step.isDone(facts));
  if (due.length > 0) await converge(due, { system, report, observe: () => observeNetwork(system) });
}

function networkSteps(): Step<NetworkFacts>[] {
  return [...firewallRuleSteps(), repairGuardStep()];
}
