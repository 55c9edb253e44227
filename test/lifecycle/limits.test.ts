// Limits as the slice gets them, and when they count as being in force. What they hold is in test/long/hosts.test.ts.
import { describe, expect, it } from 'vitest';
import type { RepoFacts } from '../../src/lifecycle/facts.ts';
import { type Limits, limitsDropIn, limitsSteps } from '../../src/lifecycle/limits.ts';
import { converge, type Since } from '../../src/lifecycle/run-plan.ts';
import { describeAction } from '../../src/lifecycle/step.ts';
import { unitText } from '../../src/lifecycle/unit-text.ts';
import { declareStep } from '../../src/lifecycle/units.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';
import { shopTarget } from '../helpers/target.ts';

const TARGET = shopTarget();
const MEMORY = 512 * 1024 ** 2;

function step(limits: Limits) {
  const [only] = limitsSteps(declareStep(TARGET, []), TARGET, limits);
  if (only === undefined) throw new Error('no step');
  return only;
}

function running(memory: string, cpu: string, changes: Partial<RepoFacts> = {}): RepoFacts {
  const units = { docker: { active: 'active' } };
  const facts = { sliceLimits: { memory, cpu }, presentFiles: ['x'], staleFiles: [], needsReload: false, units };
  return { ...facts, ...changes } as unknown as RepoFacts;
}

describe('limits', () => {
  it('are named always, so that one that is taken away goes away', () => {
    expect(unitText(limitsDropIn({ memoryBytes: MEMORY, cpus: 1.5 }))).toBe(
      '[Slice]\nMemoryMax=536870912\nMemorySwapMax=0\nCPUQuota=150%\n',
    );
    expect(unitText(limitsDropIn({}))).toBe('[Slice]\nMemoryMax=infinity\nMemorySwapMax=infinity\nCPUQuota=\n');
  });

  it.each<[Limits, string, string, boolean]>([
    [{}, 'max', 'max 100000', true],
    [{}, 'max', 'max', true],
    [{}, String(MEMORY), 'max 100000', false],
    [{}, 'max', '50000 100000', false],
    [{ memoryBytes: MEMORY }, String(MEMORY), 'max', true],
    // The kernel rounds down to pages.
    [{ memoryBytes: MEMORY + 1000 }, String(MEMORY), 'max', true],
    [{ memoryBytes: MEMORY }, 'max', 'max', false],
    [{ memoryBytes: MEMORY }, String(MEMORY * 2), 'max', false],
    [{ cpus: 0.5 }, 'max', '50000 100000', true],
    [{ cpus: 1.5 }, 'max', '150000 100000', true],
    [{ cpus: 1.5 }, 'max', '50000 100000', false],
  ])('%j with %s and %s', (limits, memory, cpu, done) => {
    expect(step(limits).isDone(running(memory, cpu))).toBe(done);
  });

  it('of what is closed are not applied', () => {
    expect(step({ cpus: 1 }).isDone(running('max', 'max', { presentFiles: [], sliceLimits: undefined }))).toBe(true);
  });

  it('are in force although systemd had not read its files before: they are asked for again', async () => {
    const looks: (Since<RepoFacts> | undefined)[] = [];
    const observe = async (since?: Since<RepoFacts>) => {
      looks.push(since);
      // As repoObserver: what an earlier look found stays so, unless it is asked for anew.
      return running('max', looks.length === 1 ? 'max' : '100000 100000', {
        needsReload: since?.unitFiles === false ? since.before.needsReload : looks.length === 1,
      });
    };
    const system = scriptedSystem(() => ({}));
    expect(await converge([step({ cpus: 1 })], { system, report: () => undefined, observe })).toBe(true);
    expect(looks).toMatchObject([undefined, { unitFiles: true }]);
  });

  it('are given to a running slice, and leave nothing that would outlive it', () => {
    expect(step({ cpus: 1 }).actions(running('max', 'max')).map(describeAction)).toEqual([
      `systemctl set-property --runtime ${TARGET.net.slice} MemoryMax=infinity MemorySwapMax=infinity CPUQuota=100%`,
      ...['MemoryMax', 'MemorySwapMax', 'CPUQuota'].map(
        (key) => `remove /run/systemd/system.control/${TARGET.net.slice}.d/50-${key}.conf`,
      ),
      'systemctl daemon-reload',
    ]);
  });
});
