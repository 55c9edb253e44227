// Which network ids are really in use on this machine: by repositories, by links that are still there, and by
// foreign programs that listen in 127.0.0.0/8.
import type { System } from '../lifecycle/system.ts';
import type { NetworkUse } from '../network/allocate.ts';
import { FIRST_NETWORK_ID, NETWORK_ID_STEP } from '../protocol/ids.ts';
import type { RepoStore } from './repo-store.ts';

export async function observeNetworkUse(
  system: System,
  store: RepoStore,
): Promise<NetworkUse & { links: Set<number> }> {
  const records = await store.list();
  const taken = new Set<number>(records.map((record) => record.networkId));
  for (const name of (await system.list('/sys/class/net')) ?? []) {
    const id = /^rdh(\d+)$/.exec(name)?.[1];
    if (id !== undefined) taken.add(Number(id));
  }
  for (const table of ['/proc/net/tcp', '/proc/net/udp', '/proc/net/tcp6', '/proc/net/udp6']) {
    for (const id of foreignBlocks((await system.readFile(table)) ?? '')) taken.add(id);
  }
  return { taken, retired: await store.retired(), links: new Set(records.map((record) => record.linkIndex)) };
}

/**
 * Blocks of 127.0.0.0/8 from the first id on in which a local socket is bound (proc(5): words of an address in the
 * host's byte order). An IPv4 address of an IPv6 socket, as Java makes them, has ::ffff: before it.
 */
export function foreignBlocks(table: string): number[] {
  const blocks = new Set<number>();
  for (const line of table.split('\n').slice(1)) {
    const hex = /^\s*\d+:\s+(?:0{16}FFFF0000)?([0-9A-F]{8}):/.exec(line)?.[1];
    if (hex === undefined || !hex.endsWith('7F')) continue;
    // Bytes stand in reverse: "0100007F" is 127.0.0.1.
    const byte = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16);
    const offset = byte(4) * 2 ** 16 + byte(2) * 2 ** 8 + byte(0);
    if (offset >= FIRST_NETWORK_ID) blocks.add(offset - ((offset - FIRST_NETWORK_ID) % NETWORK_ID_STEP));
  }
  return [...blocks];
}
