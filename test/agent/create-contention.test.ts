// Many creates at once on one machine: the machine gives each its own network id.
import { expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { createCreateHandler } from '../../src/agent/repo-create.ts';
import type { InputOf } from '../../src/protocol/operations.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const COUNT = 20;

/** Reads and writes take their time, in any order. It has no cryptsetup, so no create goes on behind its claim. */
class SlowServer extends FakeSystem {
  readonly claimed: number[] = [];

  constructor() {
    super();
    const machine = { version: 1, datastore: '/mnt/rediacc', registryMirrors: [], setUpAt: '2026-01-01T00:00:00Z' };
    this.file('/etc/rediacc/machine.json', JSON.stringify(machine)).directory('/mnt/rediacc/.state');
  }

  override async list(path: string) {
    await soon();
    return super.list(path);
  }

  override async writeFile(path: string, text: string, mode: number) {
    await soon();
    if (/\.state\/[0-9a-f-]{36}\.json$/.test(path)) this.claimed.push(JSON.parse(text).networkId);
    await super.writeFile(path, text, mode);
  }
}

const soon = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 5));

const context = (system: FakeSystem) =>
  ({ system, undoing: system, dryRun: false, report: () => undefined }) as unknown as RunContext;

function input(index: number) {
  const guid = `11111111-1111-4111-8111-${String(index).padStart(12, '0')}`;
  const request = { name: `shop-${index}`, guid, credential: new Secret('x'), sizeBytes: 2 ** 30, kdf: 'random' };
  return request as unknown as InputOf<'repo.create'>;
}

/** The ids that were claimed, lowest first. */
async function claims(handlerOf: () => ReturnType<typeof createCreateHandler>): Promise<number[]> {
  const server = new SlowServer();
  await Promise.allSettled(Array.from({ length: COUNT }, (_, index) => handlerOf()(input(index), context(server))));
  return server.claimed.toSorted((a, b) => a - b);
}

test('twenty at once have twenty different ids without a gap', async () => {
  const handler = createCreateHandler();
  expect(await claims(() => handler)).toEqual(Array.from({ length: COUNT }, (_, index) => 2816 + 64 * index));
});

test('control: where they do not wait for each other, several have the same', async () => {
  expect(new Set(await claims(createCreateHandler)).size).toBeLessThan(COUNT);
});
