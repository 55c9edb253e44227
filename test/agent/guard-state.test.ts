// What is told of a guard that somebody took apart; the real thing is in test/long/hosts.test.ts.
import { describe, expect, it } from 'vitest';
import { observeGuard, repairGuardStep } from '../../src/agent/guard-state.ts';
import type { Command } from '../../src/lifecycle/command.ts';
import { guardText } from '../../src/lifecycle/guard.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const RULES = guardText({ mirrors: [], forwardingWasOff: true, forwarding6WasOff: true, metadataAllowed: false });
const SOURCES = [
  { concat: ['rdh2816', { prefix: { addr: '127.0.11.0', len: 26 } }] },
  { concat: ['rdh2816', '169.254.192.1'] },
];
const OURS = '-A DOCKER-USER -m mark --mark 0x72646163 -m comment --comment rediacc -j ACCEPT';

const SOURCES6 = [{ concat: ['rdh2816', 'fdb4:3dec:c6e::1'] }];
const ROUTES6 = 'fdb4:3dec:c6e::1 dev rdh2816 metric 1024 pref medium\ndefault via 2001:db8::1 dev eth0\n';
const DEFAULT_ROUTE6 = `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00000400 00000001 00000000 00000003     eth0\n`;

interface Host {
  /** Absent: as it was loaded. */
  table?: object[] | 'gone';
  /** undefined: no docker. */
  docker?: string;
  docker6?: string;
  forwarding?: string;
  /** Setting of forwarding, of a host that has IPv6. */
  forwarding6?: string;
}

/** The table as nft shows it when it has just been loaded. */
function loaded(sources: readonly object[] = SOURCES, sources6: readonly object[] = []): object[] {
  const chains = [...RULES.matchAll(/^\tchain (\w+) \{\n((?:\t\t.*\n)*)/gm)];
  const rules = chains.flatMap(([, chain, body = '']) =>
    body.split('\n').flatMap((line) => (line === '' || line.includes('type ') ? [] : [{ rule: { chain } }])),
  );
  return [
    { metainfo: {} },
    { set: { name: 'sources', elem: sources } },
    { set: { name: 'sources6', elem: sources6 } },
    ...rules,
  ];
}

function faultsOf({ table = loaded(), docker, docker6, forwarding = '1\n', forwarding6 }: Host) {
  const system = new FakeSystem();
  system.directory('/sys/class/net/eth0').directory('/sys/class/net/rdh2816');
  system.file('/proc/sys/net/ipv4/ip_forward', forwarding);
  system.program('nft', () => (table === 'gone' ? { exitCode: 1 } : JSON.stringify({ nftables: table })));
  system.program('ip', ({ args: [family] }) => {
    if (family === '-6') return forwarding6 === undefined ? { exitCode: 2 } : ROUTES6;
    return 'local 10.0.2.15 dev eth0\n127.0.11.0/26 via 169.254.192.1 dev rdh2816 src 169.254.192.0\n';
  });
  if (forwarding6 !== undefined) {
    system.file('/proc/sys/net/ipv6/conf/all/forwarding', forwarding6).file('/proc/net/ipv6_route', DEFAULT_ROUTE6);
  }
  system.program('ip6tables', () => docker6 ?? { exitCode: 1 });
  system.program('iptables', () => docker ?? { exitCode: 1 });
  return observeGuard(system, RULES);
}

describe('the guard', () => {
  it('is whole with and without docker', async () => {
    expect(await faultsOf({})).toEqual({ links: ['rdh2816'], faults: [] });
    expect((await faultsOf({ docker: `-N DOCKER-USER\n${OURS}\n-A DOCKER-USER -j RETURN\n` })).faults).toEqual([]);
  });

  it('is whole where a namespace has a way out over IPv6', async () => {
    const host = { table: loaded(SOURCES, SOURCES6), forwarding6: '1\n' };
    expect((await faultsOf(host)).faults).toEqual([]);
    expect((await faultsOf({ ...host, docker6: `-N DOCKER-USER\n${OURS}\n` })).faults).toEqual([]);
  });

  it.each<[string, Host, string]>([
    ['a source of IPv6 gone', { forwarding6: '1\n' }, 'the sources of "rdh2816" are gone'],
    ['forwarding of IPv6 off', { table: loaded(SOURCES, SOURCES6), forwarding6: '0\n' }, 'IPv6 forwarding is off'],
    ['docker without the rule of IPv6', { docker6: '-N DOCKER-USER\n' }, 'the rule in DOCKER-USER of IPv6 is gone'],
    ['no table', { table: 'gone' }, 'the table "inet rediacc" is gone'],
    ['forwarding switched off', { forwarding: '0\n' }, 'IP forwarding is off'],
    ['docker without the rule', { docker: '-N DOCKER-USER\n' }, 'the rule in DOCKER-USER is gone'],
    ['sources flushed', { table: loaded([]) }, 'the sources of "rdh2816" are gone'],
    ['one source gone', { table: loaded(SOURCES.slice(1)) }, 'the sources of "rdh2816" are gone'],
    [
      'a rule less in one chain',
      { table: loaded().slice(0, -1) },
      'rules of its chain "entering" are gone or were added to',
    ],
    [
      'a rule more in one chain',
      { table: [...loaded(), { rule: { chain: 'to_host' } }] },
      'rules of its chain "to_host" are gone or were added to',
    ],
  ])('%s', async (_, host, fault) => {
    expect((await faultsOf(host)).faults).toEqual([fault]);
  });

  it('is not needed where there is no namespace', async () => {
    const system = new FakeSystem().directory('/sys/class/net/eth0');
    expect(await observeGuard(system, RULES)).toEqual({ links: [], faults: [] });
  });

  it('is made anew by its unit', () => {
    const guard = { links: ['rdh2816'], faults: ['the table "inet rediacc" is gone'] };
    const [action] = repairGuardStep().actions({ guard });
    expect((action as { command: Command }).command.args).toEqual(['reload-or-restart', 'rediacc-guard.service']);
  });
});
