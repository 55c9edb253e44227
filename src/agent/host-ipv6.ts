// IPv6 of the host, as its kernel tells it (proc(5)).
import type { HostIpv6 } from '../lifecycle/namespace.ts';
import type { System } from '../lifecycle/system.ts';
import { GUARD_FILE } from './layout.ts';

const SETTINGS = '/proc/sys/net/ipv6/conf/all';
/** Destination ::/0 without a source, by an interface that is not "lo", where the kernel keeps what is unreachable. */
const DEFAULT_ROUTE = /^0{32} 00 0{32} 00 .*\s(?!lo$)\S+$/m;

/** What a namespace that starts now gets. A guard that was written before repositories had IPv6 lets none out. */
export async function observeIpv6(system: System): Promise<HostIpv6> {
  if ((await system.stat(SETTINGS)) === undefined) return 'absent';
  const isGuarded = (await system.readFile(GUARD_FILE))?.includes('set sources6 {') === true;
  return isGuarded && (await hasWayOut6(system)) ? 'outbound' : 'inside';
}

export async function hasWayOut6(system: System): Promise<boolean> {
  return DEFAULT_ROUTE.test((await system.readFile('/proc/net/ipv6_route')) ?? '');
}

/** What comes to the host for others is passed on. */
export async function isForwarding6(system: System): Promise<boolean> {
  return (await system.readFile(`${SETTINGS}/forwarding`))?.trim() === '1';
}
