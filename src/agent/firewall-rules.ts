// The one rule that a firewall tool of the host needs for the repositories' outbound traffic: making it, and taking it
// away again. Nothing else of the host's firewall is touched, and docker's rule is rediacc-guard.service's own.
import { command } from '../lifecycle/command.ts';
import type { Step } from '../lifecycle/step.ts';
import { run } from '../lifecycle/step.ts';
import { type FirewallFacts, firewalld } from './firewall-facts.ts';

interface Facts {
  firewall: FirewallFacts;
}

/** The rule as ufw(8) takes and shows it. Both directions: answers pass ufw by its own rules. */
const UFW_RULE = ['route', 'allow', 'in', 'on', 'rdh+', 'comment', 'rediacc'] as const;

export function firewallRuleSteps(): Step<Facts>[] {
  return [
    {
      id: 'firewall.ufw',
      title: "give ufw one rule for the repositories' outbound traffic",
      already: 'ufw is not in force, or has its rule',
      isDone: ({ firewall }) => !firewall.ufw.active || firewall.ufw.hasRule,
      actions: () => [run(command('ufw', ...UFW_RULE))],
    },
    {
      id: 'firewall.firewalld',
      title: "give firewalld one rule for the repositories' outbound traffic",
      already: 'firewalld is not in force, or has its rule',
      isDone: ({ firewall }) => !firewall.firewalld.active || firewall.firewalld.hasRule,
      // Now and after a restart: firewalld keeps two configurations.
      actions: () => [run(firewalld('--permanent', 'add')), run(firewalld(undefined, 'add'))],
    },
  ];
}

/** Undoes firewallRuleSteps, where the machine holds no repositories any more. A tool that is not in force cannot be asked. */
export function removeFirewallRuleSteps(): Step<Facts>[] {
  return [
    {
      id: 'firewall.ufw-remove',
      title: "take the repositories' rule from ufw",
      already: 'ufw has no rule of ours',
      isDone: ({ firewall }) => !firewall.ufw.active || !firewall.ufw.hasRule,
      actions: () => [run(command('ufw', '--force', 'route', 'delete', ...UFW_RULE.slice(1, -2)))],
    },
    {
      id: 'firewall.firewalld-remove',
      title: "take the repositories' rule from firewalld",
      already: 'firewalld has no rule of ours',
      isDone: ({ firewall }) => !firewall.firewalld.active || !firewall.firewalld.hasRule,
      actions: () => [run(firewalld('--permanent', 'remove')), run(firewalld(undefined, 'remove'))],
    },
  ];
}
