// What other firewalls of the host do with forwarded packets. An accept of ours cannot undo their drop, so where one
// drops, it must have one rule for the guard's mark in the place that it offers (SPEC section 5).
import * as z from 'zod';
import { command } from '../lifecycle/command.ts';
import { GUARD_MARK } from '../lifecycle/guard.ts';
import type { System } from '../lifecycle/system.ts';
import type { Check } from '../protocol/operations.ts';
import { findProgram, observeServices, type ServiceState } from './host-facts.ts';

export interface FirewallFacts {
  /** Chains that drop forwarded packets by default, e.g. "ip filter FORWARD". */
  dropping: string[];
  /** The chain in which docker lets others speak first. */
  hasDockerUser: boolean;
  ufw: { active: boolean; hasRule: boolean };
  firewalld: { active: boolean; hasRule: boolean };
}

/** Interfaces of ours go to firewalld's zone that accepts; what they may do is the guard's matter. */
const FIREWALLD_ZONE = '--zone=trusted';
const FIREWALLD_LINKS = 'rdh+';
const MARK_RULE = `-m mark --mark 0x${GUARD_MARK.toString(16)} -m comment --comment rediacc -j ACCEPT`;

const listingSchema = z.object({
  nftables: z.array(
    z.looseObject({
      chain: z
        .looseObject({
          family: z.string(),
          table: z.string(),
          name: z.string(),
          hook: z.string().optional(),
          policy: z.string().optional(),
        })
        .optional(),
    }),
  ),
});

export async function observeFirewall(
  system: System,
  programs: Readonly<Record<string, string>>,
  services: Readonly<Record<string, ServiceState>>,
): Promise<FirewallFacts> {
  const chains = programs.nft === undefined ? [] : await listChains(system);
  const forwarding = chains.filter((chain) => chain.hook === 'forward' && chain.policy === 'drop');
  return {
    dropping: forwarding.map(({ family, table, name }) => `${family} ${table} ${name}`),
    hasDockerUser: chains.some(({ table, name }) => table === 'filter' && name === 'DOCKER-USER'),
    ufw: programs.ufw === undefined ? { active: false, hasRule: false } : await observeUfw(system),
    firewalld: await observeFirewalld(system, services['firewalld.service']?.active === 'active'),
  };
}

/** For whoever has not looked at programs and services anyway. */
export async function observeFirewallAlone(system: System): Promise<FirewallFacts> {
  const programs: Record<string, string> = {};
  for (const name of ['nft', 'ufw']) {
    const path = await findProgram(system, name);
    if (path !== undefined) programs[name] = path;
  }
  return observeFirewall(system, programs, await observeServices(system, ['firewalld.service']));
}

/** From its own files (ufw-framework(8)): ufw itself takes its time to say so, and `up` asks each time. */
async function observeUfw(system: System): Promise<FirewallFacts['ufw']> {
  const active = /^ENABLED=yes$/im.test((await system.readFile('/etc/ufw/ufw.conf')) ?? '');
  const rules = active ? ((await system.readFile('/etc/ufw/user.rules')) ?? '') : '';
  return { active, hasRule: rules.split('\n').includes('-A ufw-user-forward -i rdh+ -j ACCEPT') };
}

/** The rule must be there now and after a restart: firewalld keeps two configurations. */
async function observeFirewalld(system: System, active: boolean): Promise<FirewallFacts['firewalld']> {
  if (!active) return { active, hasRule: false };
  const has = async (where: '--permanent' | undefined) =>
    (await system.run({ ...firewalld(where, 'query'), allow: [1] })).exitCode === 0;
  return { active, hasRule: (await has(undefined)) && (await has('--permanent')) };
}

export function firewalld(where: '--permanent' | undefined, verb: 'add' | 'remove' | 'query') {
  const place = where === undefined ? [] : [where];
  return command('firewall-cmd', '--quiet', ...place, FIREWALLD_ZONE, `--${verb}-interface=${FIREWALLD_LINKS}`);
}

async function listChains(system: System) {
  // Exit 1: this nft cannot write JSON, or the kernel's part is not there; both show elsewhere.
  const { stdout, exitCode } = await system.run({ ...command('nft', '--json', 'list', 'chains'), allow: [1] });
  if (exitCode !== 0) return [];
  return listingSchema.parse(JSON.parse(stdout)).nftables.flatMap(({ chain }) => (chain === undefined ? [] : [chain]));
}

export function checkFirewall({ dropping, hasDockerUser, ufw, firewalld }: FirewallFacts): Check {
  const base = { id: 'firewall', title: 'firewalls of the host' };
  const tool = firewalld.active ? firewalld : ufw;
  const name = firewalld.active ? 'firewalld' : 'ufw';
  if (tool.active) {
    return tool.hasRule
      ? { ...base, status: 'ok', found: `${name}, with the rule for repositories` }
      : {
          ...base,
          status: 'missing',
          found: `${name} drops what it does not know`,
          fix: 'setup adds one rule for rdh*: rdc context setup-machine MACHINE',
        };
  }
  if (dropping.length === 0) return { ...base, status: 'ok', found: 'none that drops forwarded packets' };
  const where = dropping.join(', ');
  if (hasDockerUser && dropping.every((chain) => chain === 'ip filter FORWARD' || chain === 'ip6 filter FORWARD')) {
    return { ...base, status: 'ok', found: "docker's: one rule in DOCKER-USER while a repository is open" };
  }
  return {
    ...base,
    status: 'warning',
    found: `forwarded packets are dropped by default: ${where}`,
    fix: `accept those that carry our mark, e.g. iptables -I FORWARD ${MARK_RULE}`,
  };
}
