// Registry mirrors: which addresses and ports a namespace must reach for them. Names are resolved once, at setup: the
// guard's rules hold addresses.
import { isIP, isIPv4 } from 'node:net';
import { command } from '../lifecycle/command.ts';
import type { Endpoint } from '../lifecycle/guard.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';

/** Throws INVALID_INPUT naming the mirror that the repositories could not use. */
export async function resolveMirrors(system: System, urls: readonly string[]): Promise<Endpoint[]> {
  const endpoints: Endpoint[] = [];
  for (const text of urls) {
    const url = new URL(text);
    if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
      throw new RdcError(
        'INVALID_INPUT',
        `the registry mirror at "${url.host}" must be an address alone: no login, no query`,
      );
    }
    const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
    for (const address of await addressesOf(system, url)) endpoints.push({ address, port });
  }
  return endpoints;
}

async function addressesOf(system: System, url: URL): Promise<string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const addresses = isIP(host) ? [host] : await lookUp(system, host);
  const usable = addresses.filter((address) => isIPv4(address) && !address.startsWith('127.'));
  if (usable.length > 0) return usable;
  throw new RdcError(
    'INVALID_INPUT',
    `the registry mirror "${url.origin}" is out of reach for repositories: ${addresses.join(', ') || 'its name is unknown'}`,
    {
      hint: "name it by an IPv4 address that the machine has or reaches on its network; the host's loopback is its own",
    },
  );
}

/** getent(1) follows the machine's own rules for names. Exit 2: unknown. */
async function lookUp(system: System, host: string): Promise<string[]> {
  const { stdout } = await system.run({ ...command('getent', 'ahostsv4', host), allow: [2] });
  return [...new Set(stdout.split('\n').map((line) => line.split(/\s/)[0] ?? ''))].filter((address) => address !== '');
}
