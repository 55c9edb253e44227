// Second openings of an open repository, as the kernel's events tell them; the devices are a model.
import { expect, onTestFinished, test, vi } from 'vitest';
import { watchOpenings } from '../../src/agent/opening-watch.ts';
import type { OutputSink } from '../../src/lifecycle/system.ts';
import { FakeSystem } from '../helpers/fake-system.ts';
import { shopTarget } from '../helpers/target.ts';

const target = shopTarget();
const { image, mapping } = target.paths;
const EVENT = 'KERNEL[1234.567890] change   /devices/virtual/block/loop5 (block)\n';

/** `closed`: what is open is another repository; `quiet`: nothing is, and nothing was begun. */
function watching({ closed = false, quiet = false } = {}) {
  const system = new FakeSystem().directory('/sys/block');
  const end = new AbortController();
  const world = { tell: undefined as OutputSink | undefined, looks: 0, failures: 0, loops: [] as object[] };
  system.sleep = async (ms) => {
    system.clockMs += ms;
    await new Promise((resolve) => setImmediate(resolve));
    end.signal.throwIfAborted();
  };
  const attach = (name: string, path = image) => {
    system.file(`/sys/block/${name}/loop/backing_file`, `${path}\n`);
    world.loops.push({ name: `/dev/${name}`, 'back-maj:min': '     254:0  ', 'back-ino': 42 });
  };
  system.program('losetup', () => {
    world.looks += 1;
    if (world.failures-- > 0) throw new Error('losetup timed out');
    return JSON.stringify({ loopdevices: world.loops });
  });
  system.program('stat', () => `65024 42 ${image}\n`);
  const run = system.run.bind(system);
  system.run = async (command, onOutput) => {
    if (command.file !== 'setpriv') return run(command);
    world.tell = onOutput;
    return new Promise((_, reject) => end.signal.addEventListener('abort', () => reject(new Error('ended'))));
  };
  attach('loop0');
  if (!quiet) open();
  function open() {
    const name = closed ? 'rediacc-11111111-1111-4111-8111-111111111111' : mapping;
    system.file('/sys/block/dm-0/dm/name', `${name}\n`).file('/sys/block/dm-0/dev', '253:0\n');
    system.directory(`/sys/block/dm-0/slaves/${closed ? 'loop9' : 'loop0'}`);
  }
  const told: string[] = [];
  let inOrder = 0;
  const watch = watchOpenings({
    ...{ system, signal: end.signal },
    repos: async () => [target],
    giveUp: (_target, reason) => void told.push(reason),
    isInOrder: () => void inOrder++,
    onTrouble: (error) => void told.push(`trouble: ${String(error)}`),
  });
  if (!quiet) watch.begin();
  onTestFinished(async () => {
    end.abort();
    await watch.ended();
  });
  const say = (text: string) => world.tell?.('stdout', Buffer.from(text));
  const ready = () => vi.waitFor(() => expect(world.looks).toBeGreaterThan(0));
  return { world, watch, told, say, ready, attach, inOrder: () => inOrder };
}

const SECOND = 'its image is attached a second time: /dev/loop5 (as /root/link); writing through both destroys it';

test('a second loop device is told when the kernel tells of it, also in pieces of a line', async () => {
  const { told, say, ready, attach } = watching();
  await ready();
  expect(told).toEqual([]);
  attach('loop5', '/root/link');
  say(EVENT.slice(0, 30));
  say(EVENT.slice(30));
  await vi.waitFor(() => expect(told).toEqual([SECOND]));
});

test('when it is gone again, that is told as well', async () => {
  const { world, told, say, ready, attach, inOrder } = watching();
  attach('loop5', '/root/link');
  await ready();
  await vi.waitFor(() => expect(told).toEqual([SECOND]));
  expect(inOrder()).toBe(0);
  world.loops.pop();
  say('KERNEL[1.2] remove   /devices/virtual/block/dm-1 (block)\n');
  await vi.waitFor(() => expect(inOrder()).toBe(1));
});

test('one that was there before anybody watched is told at the start', async () => {
  const { told, attach } = watching();
  attach('loop5', '/root/link');
  await vi.waitFor(() => expect(told).toEqual([SECOND]));
});

test('a look that fails is made again until one succeeds, and told once', async () => {
  const { world, told, say, ready, attach } = watching();
  await ready();
  world.failures = 3;
  attach('loop5', '/root/link');
  say(EVENT);
  await vi.waitFor(() => expect(told).toEqual(['trouble: Error: losetup timed out', SECOND]));
  expect(world.looks).toBe(1 + 3 + 1);
});

test('from nothing open on it watches as soon as it is told to', async () => {
  const { world, watch } = watching({ quiet: true });
  await watch.beginIfOpen();
  expect(world.tell).toBeUndefined();
  watch.begin();
  await vi.waitFor(() => expect(world.tell).toBeDefined());
});

test('other devices are no reason to look, and a closed repository none to tell', async () => {
  const { world, told, say, ready, attach } = watching({ closed: true });
  await ready();
  attach('loop5', '/root/link');
  const before = world.looks;
  say('KERNEL[1.2] change   /devices/pci0000:00/0000:00:03.0/virtio0/block/vda (block)\n');
  // Control: what concerns us is looked at.
  say(EVENT);
  await vi.waitFor(() => expect(world.looks).toBe(before + 1));
  expect(told).toEqual([]);
});
