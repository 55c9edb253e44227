// The firewall under supervision: what the kernel tells of it, and what is done then. The rules are a model (loaded or gone).
import { expect, onTestFinished, test, vi } from 'vitest';
import { type GuardWatchDeps, watchGuard } from '../../src/agent/guard-watch.ts';
import { SupervisionRecord } from '../../src/agent/supervision-record.ts';
import { guardText } from '../../src/lifecycle/guard.ts';
import type { OutputSink } from '../../src/lifecycle/system.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const RULES = guardText({ mirrors: [], forwardingWasOff: false, forwarding6WasOff: false, metadataAllowed: false });
const FLUSHED =
  'delete rule inet rediacc to_host handle 21\ndelete table inet rediacc\n# new generation 7 by process 9 (nft)\n';

function loaded(): object[] {
  const chains = [...RULES.matchAll(/^\tchain (\w+) \{\n((?:\t\t.*\n)*)/gm)];
  return chains.flatMap(([, chain, body = '']) =>
    body.split('\n').flatMap((line) => (line === '' || line.includes('type ') ? [] : [{ rule: { chain } }])),
  );
}

function watching(more: Partial<GuardWatchDeps> = {}) {
  const system = new FakeSystem();
  const end = new AbortController();
  const world = {
    isLoaded: true,
    comesBack: true,
    looks: 0,
    tell: undefined as OutputSink | undefined,
    onReload: (): void => undefined,
  };
  system.sleep = async (ms) => {
    system.clockMs += ms;
    await new Promise((resolve) => setImmediate(resolve));
    end.signal.throwIfAborted();
  };
  system
    .directory('/sys/class/net/rdh2816')
    .file('/proc/sys/net/ipv4/ip_forward', '1\n')
    .file('/etc/rediacc/guard.nft', RULES);
  system.program('nft', ({ args }) => {
    if (args.includes('table')) world.looks += 1;
    if (args.includes('table')) return world.isLoaded ? JSON.stringify({ nftables: loaded() }) : { exitCode: 1 };
    return JSON.stringify({ nftables: [] });
  });
  system
    .program('ip', () => '')
    .program('iptables', () => ({ exitCode: 1 }))
    .program('ip6tables', () => ({ exitCode: 1 }));
  system.program('systemctl', ({ args }) => {
    if (args[0] === 'reload-or-restart') world.onReload();
    if (args[0] === 'reload-or-restart' && world.comesBack) world.isLoaded = true;
    return '';
  });
  const run = system.run.bind(system);
  system.run = async (command, onOutput) => {
    if (command.file !== 'setpriv') return run(command);
    world.tell = onOutput;
    return new Promise((_, reject) => end.signal.addEventListener('abort', () => reject(new Error('ended'))));
  };
  const told: string[] = [];
  const record = new SupervisionRecord({
    system,
    path: '/var/lib/rediacc/supervision.json',
    onTrouble: () => undefined,
  });
  const watch = watchGuard({
    ...{ system, signal: end.signal, record },
    now: () => 1_700_000_000_000 + system.clockMs,
    isEnabled: async () => true,
    tell: (kind, message) => void told.push(`${kind}: ${message}`),
    giveUp: (reason) => void told.push(`given up: ${reason}`),
    ...more,
  });
  onTestFinished(async () => {
    end.abort();
    await watch.ended;
  });
  const say = (text: string) => world.tell?.('stdout', Buffer.from(text));
  const ready = () => vi.waitFor(() => expect(world.looks).toBeGreaterThan(0));
  return { world, told, say, ready, watch };
}

const RESTORED =
  'guard-restored: somebody has changed the firewall (the table "inet rediacc" is gone): make the guard anew';

test('a table that is deleted is put back and told, also in pieces of lines', async () => {
  const { world, told, say, ready } = watching();
  await ready();
  world.isLoaded = false;
  say(FLUSHED.slice(0, 60));
  say(FLUSHED.slice(60));
  await vi.waitFor(() => expect(told).toEqual([RESTORED]));
  expect(world.isLoaded).toBe(true);
});

test('what happened before anybody watched is found', async () => {
  const { world, told, watch } = watching();
  world.isLoaded = false;
  watch.look();
  await vi.waitFor(() => expect(told).toEqual([RESTORED]));
});

test("changes of somebody else's tables, and our own reloads, are no reason to act", async () => {
  const { world, told, say, ready } = watching();
  await ready();
  say('delete rule ip filter INPUT handle 3\nadd element inet rediacc sources { "rdh2880" . 127.0.12.0/26 }\n');
  const before = world.looks;
  // Control: what concerns us is looked at.
  say('delete table inet rediacc\nadd table inet rediacc\n');
  await vi.waitFor(() => expect(world.looks).toBeGreaterThan(before));
  expect(told).toEqual([]);
});

test('somebody who takes it away again and again: given up after ten times', async () => {
  const { world, told, say, ready } = watching();
  await ready();
  for (let time = 1; time <= 11; time += 1) {
    world.isLoaded = false;
    say(FLUSHED);
    await vi.waitFor(() => expect(told).toHaveLength(time), { timeout: 10_000 });
  }
  expect(told.at(-1)).toContain('given up: the guard is taken away again and again');
  expect(told.filter((line) => line === RESTORED)).toHaveLength(10);
});

test('what cannot be mended is given up, though our own tries are told by the kernel as well', async () => {
  const { world, told, say, ready } = watching();
  await ready();
  Object.assign(world, { isLoaded: false, comesBack: false, onReload: () => say(FLUSHED) });
  say(FLUSHED);
  await vi.waitFor(() => expect(told.at(-1)).toContain('given up'), { timeout: 30_000 });
  expect(told.filter((line) => line.startsWith('failed'))).toHaveLength(10);
});

test('switched off: nothing is done', async () => {
  let asked = 0;
  const { world, told, say } = watching({
    isEnabled: async () => {
      asked += 1;
      return false;
    },
  });
  await vi.waitFor(() => expect(asked).toBe(1));
  world.isLoaded = false;
  say(FLUSHED);
  await vi.waitFor(() => expect(asked).toBe(2));
  expect([world.isLoaded, told]).toEqual([false, []]);
});
