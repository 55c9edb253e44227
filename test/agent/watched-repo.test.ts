// One repository under supervision: its daemon is a real socket that breaks, systemd and the clock are models.
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { SupervisionRecord } from '../../src/agent/supervision-record.ts';
import type { WatchDeps } from '../../src/agent/watch-deps.ts';
import { watchRepo } from '../../src/agent/watched-repo.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { FakeSystem } from '../helpers/fake-system.ts';
import { shopTarget } from '../helpers/target.ts';
import { FakeDocker } from './fake-docker.ts';
import { temporaryDirectory } from './harness.ts';

interface Unit {
  ActiveState: string;
  Result: string;
  ExecMainStatus: number;
  NRestarts: number;
}

const RUNNING: Unit = { ActiveState: 'active', Result: 'success', ExecMainStatus: 0, NRestarts: 0 };
const START = 1_700_000_000;
const soon = (look: () => void) => vi.waitFor(look, { timeout: 30_000 });

/** A repository that should be up, watched from now on. */
async function watched(
  unit: Partial<Unit> = {},
  more: (state: Unit, system: FakeSystem) => Partial<WatchDeps> = () => ({}),
) {
  const directory = await temporaryDirectory();
  const base = shopTarget();
  const target = { ...base, net: { ...base.net, dockerSocket: join(directory, 'docker.sock') } };
  const docker = new FakeDocker();
  const system = new FakeSystem();
  const end = new AbortController();
  const changed = new AbortController();
  // Time passes at once, but what goes on at the socket has its turn.
  system.sleep = async (ms) => {
    system.clockMs += ms;
    await new Promise((resolve) => setImmediate(resolve));
    end.signal.throwIfAborted();
  };
  const state = { ...RUNNING, ...unit };
  const stopped: string[] = [];
  system.file('/proc/sys/kernel/random/boot_id', 'boot\n').file(target.needsDownFlag);
  system.program('systemctl', ({ args }) => {
    if (args[0] === 'stop') stopped.push(String(args[1]));
    if (args[0] === 'stop') state.ActiveState = 'inactive';
    const values = { ...state, ExecMainStartTimestamp: `@${START}` };
    return Object.entries(values)
      .map(([key, value]) => `${key}=${value}\n`)
      .join('');
  });
  const told: string[] = [];
  const record = new SupervisionRecord({ system, path: '/var/lib/rediacc/supervision.json', onTrouble: fail });
  const deps: WatchDeps = {
    system,
    signal: end.signal,
    record,
    now: () => START * 1000 + system.clockMs,
    settings: async () => ({ enabled: true, restarts: 2 }),
    changed: () => changed.signal,
    withLock: async (_target, _what, work) => {
      await work();
      return true;
    },
    bringUp: async () => undefined,
    tell: (kind, message) => void told.push(`${kind}: ${message}`),
    giveUp: (_target, reason) => {
      record.giveUp(target.guid, { since: 0, reason });
      told.push(`needs-attention: ${reason}`);
    },
    ...more(state, system),
  };
  await docker.start(target.net.dockerSocket);
  onTestFinished(async () => {
    end.abort();
    await docker.die();
  });
  return {
    ...{ docker, system, state, told, stopped, target, record },
    watch: () => watchRepo(target, deps),
    /** As after `repo down --unmount`. */
    async down() {
      await system.remove(target.needsDownFlag);
      state.ActiveState = 'inactive';
      await docker.die();
    },
  };
}

function fail(message: string): never {
  throw new Error(message);
}

describe('the daemon', () => {
  test('died and was started again by systemd: told, and what ran then is started', async () => {
    const { docker, system, state, told, watch, down, target } = await watched();
    const gone = { status: 'exited', exitCode: 255, finishedAt: START * 1000 + 1500 } as const;
    const watching = watch();
    await docker.followed();
    await docker.die();
    docker.add({ name: 'shop-db-1', ...gone });
    docker.add({ name: 'shop-docker-brings-it-1', ...gone, policy: 'unless-stopped' });
    docker.add({ name: 'shop-migrate-run-1', ...gone, labels: { 'com.docker.compose.oneoff': 'True' } });
    docker.add({ name: 'shop-lost-long-ago-1', ...gone, finishedAt: START * 1000 - 1 });
    docker.add({ name: 'shop-ended-by-itself-1', ...gone, exitCode: 1 });
    Object.assign(state, { ActiveState: 'activating', Result: 'exit-code', ExecMainStatus: 137, NRestarts: 0 });
    const looks = () => system.journal.filter((line) => line.startsWith('run systemctl show')).length;
    const before = looks();
    await soon(() => expect(looks()).toBeGreaterThan(before + 1));
    await docker.start(target.net.dockerSocket);
    // systemd counts a start before it is ready.
    state.NRestarts = 1;
    const scheduled = looks();
    await soon(() => expect(looks()).toBeGreaterThan(scheduled + 1));
    Object.assign(state, RUNNING, { NRestarts: 1 });
    await docker.followed();
    await soon(() => expect(told).toHaveLength(1));
    await down();
    await watching;
    expect(docker.done).toEqual(['start shop-db-1']);
    expect(told).toEqual([
      'daemon-restarted: the docker daemon of "shop" died (signal 9 ended it) and was started again; started with it: shop-db-1',
    ]);
  });

  test('what it lost is started in the order of its making, once more where one had to wait, and told where it does not start', async () => {
    const { docker, told, watch, down } = await watched({ NRestarts: 1 });
    const gone = { status: 'exited', exitCode: 255, finishedAt: START * 1000 + 1500 } as const;
    docker.add({ name: 'shop-early-1', ...gone, needs: 'shop-vpn-1' });
    docker.add({ name: 'shop-vpn-1', ...gone });
    docker.add({ name: 'shop-late-1', ...gone, needs: 'shop-vpn-1' });
    docker.add({ name: 'shop-broken-1', ...gone, needs: 'nothing' });
    const watching = watch();
    await soon(() => expect(told).toHaveLength(1));
    await down();
    await watching;
    expect(docker.done).toEqual(['start shop-vpn-1', 'start shop-late-1', 'start shop-early-1']);
    expect(told[0]).toContain(
      'started with it: shop-early-1, shop-late-1, shop-vpn-1; could not be started: shop-broken-1: ',
    );
  });

  test('what it lost is started also where somebody was at the repository when it came back', async () => {
    let looks = 0;
    const { docker, told, watch, down } = await watched({ NRestarts: 1 }, () => ({
      withLock: async (_target, _what, work) => {
        looks += 1;
        if (looks > 2) await work();
        return looks > 2;
      },
    }));
    docker.add({ name: 'shop-db-1', status: 'exited', exitCode: 255, finishedAt: START * 1000 + 1500 });
    const watching = watch();
    await soon(() => expect(docker.done).toEqual(['start shop-db-1']));
    await soon(() => expect(told).toHaveLength(1));
    await down();
    await watching;
  });

  test('died while no agent was there: systemd has counted', async () => {
    const { docker, told, watch, down } = await watched({ NRestarts: 1 });
    const watching = watch();
    await docker.followed();
    await down();
    await watching;
    expect(told).toEqual(['daemon-restarted: the docker daemon of "shop" died and was started again']);
  });

  test('dies without rest: the whole up, twice, then it is stopped and given up', async () => {
    const ups: number[] = [];
    const dying = { ActiveState: 'activating', Result: 'exit-code', ExecMainStatus: 1, NRestarts: 4 };
    const { told, stopped, watch, target, record } = await watched(dying, (state, system) => {
      const systemctl = system.programs.get('systemctl');
      system.program('systemctl', (call) => {
        if (state.ActiveState === 'activating') state.NRestarts += 1;
        return systemctl?.(call) ?? '';
      });
      return {
        async bringUp() {
          ups.push(system.clockMs);
          throw new RdcError('FAILED', 'it says no');
        },
      };
    });
    await watch();
    expect(ups).toHaveLength(2);
    expect((ups[1] ?? 0) - (ups[0] ?? 0)).toBeGreaterThanOrEqual(60_000);
    expect(stopped).toEqual([target.units.docker]);
    expect(record.attention(target.guid)?.reason).toBe(
      'its docker daemon died more than 3 times without rest (it ended with exit code 1)',
    );
    expect(told.map((line) => line.split(':')[0])).toEqual(['failed', 'failed', 'needs-attention']);
  });

  test('failed for good: brought back by the whole up, once whoever is changing it has ended', async () => {
    let tries = 0;
    const { told, watch, docker, down } = await watched({ ActiveState: 'failed', Result: 'resources' }, (state) => ({
      async bringUp() {
        tries += 1;
        if (tries < 3) throw new RdcError('BUSY', 'somebody has it');
        Object.assign(state, RUNNING);
      },
    }));
    const watching = watch();
    await docker.followed();
    await down();
    await watching;
    expect(told).toEqual([
      'repository-started: "shop" was started as a whole: its docker daemon failed (systemd says "resources")',
    ]);
  });
});

describe('what a person does is never undone', () => {
  test('down', async () => {
    const { told, stopped, docker, watch, down } = await watched({}, () => ({ bringUp: async () => fail('no') }));
    const watching = watch();
    await docker.followed();
    await down();
    await watching;
    expect([...told, ...stopped]).toEqual([]);
  });

  test('systemctl stop: told, and left so', async () => {
    const { told, watch } = await watched({ ActiveState: 'inactive' }, () => ({ bringUp: async () => fail('no') }));
    await watch();
    expect(told).toEqual(['left-alone: the docker daemon of "shop" was stopped with systemctl: it is left so']);
  });

  test('docker stop of one container, also of an unhealthy one', async () => {
    const { told, docker, watch, down } = await watched();
    const stopped = docker.add({ name: 'shop-web-1', status: 'exited', health: 'unhealthy', exitCode: 137 });
    const other = docker.add({ name: 'shop-api-1', status: 'running', health: 'healthy' });
    const watching = watch();
    await docker.followed();
    docker.setHealth(stopped, 'unhealthy');
    // Control: what comes after it on the same stream is cared for.
    docker.setHealth(other, 'unhealthy');
    await soon(() => expect(docker.done).toEqual(['restart shop-api-1']));
    await down();
    await watching;
    expect(told).toEqual([expect.stringMatching(/^container-restarted: .*shop-api-1/)]);
  });
});

describe('an unhealthy container', () => {
  test('is restarted with the words of its check, without what a terminal would obey', async () => {
    const { told, docker, watch, down } = await watched();
    const id = docker.add({
      name: 'shop-api-1',
      status: 'running',
      health: 'healthy',
      words: 'first\n\x1b[2Jno answer\n',
    });
    const watching = watch();
    await docker.followed();
    docker.setHealth(id, 'unhealthy');
    await soon(() => expect(told).toHaveLength(1));
    await down();
    await watching;
    expect(told).toEqual([
      'container-restarted: container "shop-api-1" of "shop" was unhealthy (its health check says: [2Jno answer) and was restarted',
    ]);
  });

  test.each([
    ['break', []],
    [
      'error',
      [
        'failed: an unhealthy container of "shop" could not be restarted: the docker daemon refuses: out of cheese',
        // Docker tells nothing more of it: it is tried again all the same.
        'container-restarted: container "shop-api-1" of "shop" was unhealthy and was restarted',
      ],
    ],
  ] as const)('that cannot be restarted: %s is told as %j', async (refusal, words) => {
    const { told, docker, watch, down } = await watched();
    docker.refusal = refusal;
    const first = docker.add({ name: 'shop-api-1', status: 'running', health: 'healthy' });
    const second = docker.add({ name: 'shop-web-1', status: 'running', health: 'healthy' });
    const watching = watch();
    await docker.followed();
    docker.setHealth(first, 'unhealthy');
    await soon(() => expect(docker.refused).toBe(1));
    await soon(() => expect(told).toHaveLength(words.length));
    // What comes later on the same stream is cared for.
    docker.setHealth(second, 'unhealthy');
    await soon(() => expect(told.at(-1)).toMatch(/^container-restarted: .*shop-web-1/));
    await down();
    await watching;
    expect(told.slice(0, -1)).toEqual(words);
  });

  test('that was so before anybody watched is found', async () => {
    const { docker, watch, down } = await watched();
    docker.add({ name: 'shop-api-1', status: 'running', health: 'unhealthy' });
    const watching = watch();
    await soon(() => expect(docker.done).toEqual(['restart shop-api-1']));
    await down();
    await watching;
  });

  test('again and again: with pauses, up to the limit, then it needs attention', async () => {
    const { told, docker, system, watch, down } = await watched();
    docker.afterRestart = 'unhealthy';
    docker.add({ name: 'shop-api-1', status: 'running', health: 'unhealthy' });
    const watching = watch();
    await soon(() => expect(told).toHaveLength(3));
    await down();
    await watching;
    expect(docker.done).toEqual(['restart shop-api-1', 'restart shop-api-1']);
    expect(told[2]).toBe('needs-attention: container "shop-api-1" is unhealthy after 2 restarts');
    expect(system.clockMs).toBeGreaterThanOrEqual(10_000);
  });

  test('of a repository that is being changed waits, and is left if it is well by then', async () => {
    let asked = 0;
    const { told, docker, watch, down } = await watched({}, () => ({
      async withLock(_target, _what, work) {
        asked += 1;
        if (asked === 1) return false;
        docker.setHealth('1'.padStart(64, '0'), 'healthy');
        await work();
        return true;
      },
    }));
    docker.add({ name: 'shop-api-1', status: 'running', health: 'unhealthy' });
    const watching = watch();
    await soon(() => expect(asked).toBe(2));
    await down();
    await watching;
    expect([...docker.done, ...told]).toEqual([]);
  });

  test('by checks that docker could not make, its containerd being dead, is left until there is one that it could', async () => {
    const { told, docker, system, watch, down } = await watched();
    docker.isCutOff = true;
    const unmade = { status: 'running', health: 'unhealthy', checkExitCode: -1, words: 'connection error' } as const;
    const well = docker.add({ name: 'shop-well-1', ...unmade });
    const sick = docker.add({ name: 'shop-sick-1', ...unmade });
    const watching = watch();
    const someLooks = async () => {
      const before = docker.reachAsked;
      await soon(() => expect(docker.reachAsked).toBeGreaterThan(before + 6));
    };
    await someLooks();
    // Docker makes one in every interval, also while it cannot.
    for (const id of [well, sick]) docker.change(id, { checkedAt: START * 1000 + system.clockMs + 1 });
    await someLooks();
    docker.isCutOff = false;
    await someLooks();
    expect(docker.done).toEqual([]);
    docker.setHealth(well, 'healthy');
    docker.change(sick, { checkedAt: START * 1000 + system.clockMs + 1, words: 'no such program' });
    // Control: one that cannot be checked at all is cared for. That docker was cut off may have been told before.
    const restarted = '"shop-sick-1" of "shop" was unhealthy (its health check says: no such program)';
    await soon(() => expect(told.at(-1)).toContain(restarted));
    await down();
    await watching;
    expect(docker.done).toEqual(['restart shop-sick-1']);
  });

  test('by a check that took too long is restarted at once', async () => {
    const { docker, watch, down } = await watched();
    const words = 'Health check exceeded timeout (20s)';
    docker.add({ name: 'shop-api-1', status: 'running', health: 'unhealthy', checkExitCode: -1, words });
    const watching = watch();
    await soon(() => expect(docker.done).toEqual(['restart shop-api-1']));
    await down();
    await watching;
  });

  test('is not restarted while docker does not get through to it, whatever its check said', async () => {
    const { told, docker, watch, down } = await watched();
    docker.isCutOff = true;
    docker.add({ name: 'shop-api-1', status: 'running', health: 'unhealthy' });
    const watching = watch();
    await soon(() => expect(docker.reachAsked).toBeGreaterThan(20));
    expect(docker.done).toEqual([]);
    docker.isCutOff = false;
    await soon(() => expect(told).toHaveLength(2));
    await down();
    await watching;
    expect(docker.done).toEqual(['restart shop-api-1']);
    // After a minute, and once.
    expect(told[0]).toBe(
      'failed: container "shop-api-1" of "shop" is unhealthy, and docker does not get through to it: it is not restarted',
    );
  });

  test('is not restarted while docker waits for its containerd, and then it is', async () => {
    const { told, docker, watch, down } = await watched();
    docker.isCutOff = 'hangs';
    docker.add({ name: 'shop-api-1', status: 'running', health: 'unhealthy' });
    const watching = watch();
    await soon(() => expect(docker.reachAsked).toBe(1));
    docker.isCutOff = false;
    await soon(() => expect(told).toHaveLength(1));
    await down();
    await watching;
    // Control: the first one was never answered.
    expect(docker.reachAsked).toBe(2);
    expect(docker.done).toEqual(['restart shop-api-1']);
    expect(told[0]).toMatch(/^container-restarted: /);
  });

  test('is not restarted where that is switched off, nor given up', async () => {
    const { told, docker, watch, down } = await watched({}, () => ({
      settings: async () => ({ enabled: true, restarts: 0 }),
    }));
    docker.add({ name: 'shop-api-1', status: 'running', health: 'unhealthy' });
    const watching = watch();
    await docker.followed();
    await down();
    await watching;
    expect([...docker.done, ...told]).toEqual([]);
  });
});
