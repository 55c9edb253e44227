// Whether the guard is still as rediacc-guard.service made it. Its unit stays active whatever becomes of the rules:
// `nft flush ruleset`, `iptables -F` or `sysctl --system` of somebody else take them away without a word.
import * as z from 'zod';
import { command } from '../lifecycle/command.ts';
import { GUARD_MARK } from '../lifecycle/guard.ts';
import type { Step } from '../lifecycle/step.ts';
import { run } from '../lifecycle/step.ts';
import type { System } from '../lifecycle/system.ts';
import { hasWayOut6, isForwarding6 } from './host-ipv6.ts';

export interface GuardState {
  /** Namespaces of repositories that are there. Without any the guard is not needed. */
  links: string[];
  /** What is gone, in words. */
  faults: string[];
}

/** `rules`: the text of the guard's file (lifecycle/guard.ts). */
export async function observeGuard(system: System, rules: string): Promise<GuardState> {
  const names = (await system.list('/sys/class/net')) ?? [];
  const links = names.filter((name) => /^rdh\d+$/.test(name));
  if (links.length === 0) return { links, faults: [] };
  const faults = [
    ...(await tableFaults(system, rules)),
    ...(await forwardingFaults(system)),
    ...(await dockerFaults(system)),
  ];
  return { links, faults };
}

/** The unit makes everything anew in one transaction, the sources of running namespaces too. */
export function repairGuardStep(): Step<{ guard: GuardState }> {
  return {
    id: 'guard.repair',
    title: 'make the guard anew',
    already: 'the guard is whole',
    isDone: ({ guard }) => guard.faults.length === 0,
    actions: () => [run(command('systemctl', 'reload-or-restart', 'rediacc-guard.service'))],
  };
}

const tableSchema = z.object({
  nftables: z.array(
    z.looseObject({
      rule: z.looseObject({ chain: z.string() }).optional(),
      set: z.looseObject({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional(),
    }),
  ),
});

async function tableFaults(system: System, rules: string): Promise<string[]> {
  const list = { ...command('nft', '--json', 'list', 'table', 'inet', 'rediacc'), allow: [1] };
  const { stdout, exitCode } = await system.run(list);
  if (exitCode !== 0) return ['the table "inet rediacc" is gone'];
  const { nftables } = tableSchema.parse(JSON.parse(stdout));
  const wanted = ruleCounts(rules);
  const chains = [...wanted.keys()].filter(
    (chain) => nftables.filter(({ rule }) => rule?.chain === chain).length !== wanted.get(chain),
  );
  const elements = JSON.stringify(
    nftables.flatMap(({ set }) => (set?.name.startsWith('sources') ? (set.elem ?? []) : [])),
  );
  const routed = [...(await routedSources(system)), ...(await routedSources6(system))];
  const missing = routed.filter(
    ({ link, address }) => !elements.includes(`"${link}"`) || !elements.includes(`"${address}"`),
  );
  return [
    ...chains.map((chain) => `rules of its chain "${chain}" are gone or were added to`),
    ...[...new Set(missing.map(({ link }) => link))].map((link) => `the sources of "${link}" are gone`),
  ];
}

/** How many rules each chain has by the text: a line each, beside the one that hooks the chain. */
function ruleCounts(rules: string): Map<string, number> {
  const chains = [...rules.matchAll(/^\tchain (\w+) \{\n((?:\t\t.*\n)*)/gm)];
  const isRule = (line: string) => line !== '' && !line.startsWith('\t\ttype ');
  return new Map(chains.map(([, name = '', body = '']) => [name, body.split('\n').filter(isRule).length]));
}

/** What may come from each link, by the routes into the namespaces: "127.0.11.0/26 via 169.254.192.1 dev rdh2816". */
async function routedSources(system: System): Promise<{ link: string; address: string }[]> {
  const { stdout } = await system.run(command('ip', '-4', 'route', 'show', 'table', 'local'));
  return [...stdout.matchAll(/^([\d.]+)\/\d+ via ([\d.]+) dev (rdh\d+)/gm)].flatMap(([, block, gateway, link]) =>
    [block, gateway].map((address) => ({ link: link ?? '', address: address ?? '' })),
  );
}

/** The same for IPv6: "fdb4:3dec:c6e::1 dev rdh2816". The guard of a machine without IPv6 has none. */
async function routedSources6(system: System): Promise<{ link: string; address: string }[]> {
  const { stdout, exitCode } = await system.run({ ...command('ip', '-6', 'route', 'show'), allow: [1, 2] });
  if (exitCode !== 0) return [];
  return [...stdout.matchAll(/^([\da-f:]+) dev (rdh\d+)/gm)].map(([, address = '', link = '']) => ({ link, address }));
}

async function forwardingFaults(system: System): Promise<string[]> {
  const text = await system.readFile('/proc/sys/net/ipv4/ip_forward');
  const isOff6 = (await hasWayOut6(system)) && !(await isForwarding6(system));
  return [...(text?.trim() === '1' ? [] : ['IP forwarding is off']), ...(isOff6 ? ['IPv6 forwarding is off'] : [])];
}

/** Only where the host's docker has the chain for it. */
async function dockerFaults(system: System): Promise<string[]> {
  const faults: string[] = [];
  for (const [program, chain] of DOCKER_CHAINS) {
    const list = { ...command(program, '-w', '10', '-S', 'DOCKER-USER'), allow: [1, 2, 3, 4] };
    const { stdout, exitCode } = await system.run(list);
    if (exitCode === 0 && !stdout.split('\n').some(isOurs)) faults.push(`the rule in ${chain} is gone`);
  }
  return faults;
}

const DOCKER_CHAINS = [
  ['iptables', 'DOCKER-USER'],
  ['ip6tables', 'DOCKER-USER of IPv6'],
] as const;

function isOurs(line: string): boolean {
  return line.includes(`--mark 0x${GUARD_MARK.toString(16)}`) && line.endsWith('-j ACCEPT');
}
