// The guard: its text, its unit, and its rules tried as attacks, each against a control without the guard.
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { FORWARDING_FLAG, GUARD_MARK, guardText, HOST_BRIDGES } from '../../src/lifecycle/guard.ts';
import unit from '../../systemd/rediacc-guard.service';

const BED = new URL('../fixtures/guard/bed.sh', import.meta.url).pathname;
const MIRRORS = [
  { address: '203.0.113.10', port: 5000 },
  { address: '203.0.113.10', port: 5001 },
];

describe('the text', () => {
  it('is this', async () => {
    const settings = {
      mirrors: [{ address: '10.0.2.15', port: 5000 }],
      forwardingWasOff: true,
      forwarding6WasOff: true,
      metadataAllowed: false,
    };
    await expect(guardText(settings)).toMatchFileSnapshot('../fixtures/guard/guard.nft');
  });

  it('without mirrors has no exception to the host', () => {
    const text = guardText({ mirrors: [], forwardingWasOff: true, forwarding6WasOff: true, metadataAllowed: false });
    expect(text).toMatch(/chain to_host \{\n\t\tct state established,related accept\n\t\tdrop\n\t\}/);
    expect(text).not.toContain('ct original');
  });

  it('leaves other forwards alone where forwarding was on', () => {
    expect(
      guardText({ mirrors: [], forwardingWasOff: false, forwarding6WasOff: false, metadataAllowed: false }),
    ).not.toContain('iifname != @bridges');
  });

  it('lets the metadata address through only when told so', () => {
    expect(
      guardText({ mirrors: [], forwardingWasOff: true, forwarding6WasOff: true, metadataAllowed: true }),
    ).not.toContain('169.254.169.254');
  });
});

describe('the unit', () => {
  it('knows the same mark, bridges and flag as the rules', () => {
    expect(unit).toContain(`--mark 0x${GUARD_MARK.toString(16)} -m comment --comment rediacc -j ACCEPT`);
    expect(unit).toContain(`"BRIDGES=${HOST_BRIDGES.join(' ')}"`);
    expect(unit).toContain(FORWARDING_FLAG);
  });
});

/** Network namespaces, veth and nf_tables need root, and a kernel that has them. */
function whyNot(): string | undefined {
  const probe = `ip link add probe0 type veth peer name probe1 && nft add table inet probe &&
    for tables in iptables ip6tables; do $tables -n -L FORWARD; done && test -w /proc/sys/net/ipv6/conf/all/forwarding && perl -e 1`;
  try {
    execFileSync('unshare', ['--net', '--mount', 'sh', '-ec', probe], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `needs root, iproute2, nftables, iptables, perl and IPv6: ${String(error).split('\n').slice(0, 2).join(' ')}`;
  }
}

const obstacle = whyNot();

describe.skipIf(obstacle !== undefined)(`the rules as attacks${obstacle === undefined ? '' : ` (${obstacle})`}`, () => {
  const directory = mkdtemp(join(tmpdir(), 'guard-'));
  afterAll(async () => rm(await directory, { recursive: true }));

  async function tryAll(text: string, firewall: 'marked' | 'unmarked' | 'open'): Promise<Record<string, string>> {
    const file = join(await directory, `${firewall}.nft`);
    await writeFile(file, text);
    const { stdout } = await promisify(execFile)('unshare', ['--net', '--mount', 'bash', BED, file, firewall]);
    return Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    );
  }

  const guard = guardText({
    mirrors: MIRRORS,
    forwardingWasOff: true,
    forwarding6WasOff: true,
    metadataAllowed: false,
  });
  /** Outbound traffic works, nothing is guarded. */
  const control = `table inet control {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 169.254.192.0/18 oifname != "rdh*" masquerade
  }
}
`;
  const wanted = [
    'host-to-service',
    'host-to-any-address-service',
    'host-to-other-repository',
    'own-service',
    'outbound',
    'mirror-on-host',
    'mirror-in-host-container',
    'metadata-dns',
    'container-outbound',
    'own-service6',
    'outbound6',
    'container-outbound6',
  ];
  const attacks = [
    'host-link-address',
    'host-lan-address',
    'host-loopback',
    'host-over-ipv6',
    'host-container',
    'host-published-port',
    'metadata',
    'other-link-address',
    'other-block',
    'spoofed-source',
    'outside-to-repository',
    'container-to-repository',
    'outside-through-host',
    'host-lan-address6',
    'host-container6',
    'host-published-port6',
    'host-to-namespace6',
    'metadata6',
    'other-link-address6',
    'outside-to-repository6',
    'container-to-repository6',
    'outside-through-host6',
    'spoofed-source6',
    'all-on-the-link',
    'router-advertisement',
    'neighbour-of-the-host',
  ];
  const all = (names: string[], end: string) => names.map((name) => [name, end] as const);

  it('control: without the guard everything is reached', { timeout: 60_000 }, async () => {
    expect(await tryAll(control, 'open')).toEqual(Object.fromEntries(all([...wanted, ...attacks], 'reached')));
  });

  it('with the guard what is wanted is reached and every attack is blocked', { timeout: 60_000 }, async () => {
    const expected = Object.fromEntries([...all(wanted, 'reached'), ...all(attacks, 'blocked')]);
    expect(await tryAll(guard, 'marked')).toEqual(expected);
  });

  it("control: where the host's firewall drops forwards, outbound needs the one rule for the mark", {
    timeout: 60_000,
  }, async () => {
    expect(await tryAll(guard, 'unmarked')).toMatchObject({
      outbound: 'blocked',
      outbound6: 'blocked',
      'host-to-service': 'reached',
    });
  });
});
