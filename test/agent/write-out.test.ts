// What up() has pulled and written is on disk when its run is done (containerd/containerd#8895, moby/moby#49784).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RunContext } from '../../src/agent/handlers.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import type { Workbench } from '../../src/agent/repo-workbench.ts';
import { writeOut } from '../../src/agent/write-out.ts';
import type { System } from '../../src/lifecycle/system.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';
import { shopTarget } from '../helpers/target.ts';

async function writtenOut(system: System, mountPoint: string): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  const target = shopTarget();
  const bench = { record: { name: 'shop' }, target: { ...target, paths: { ...target.paths, mountPoint } } };
  const context = { system, report: (event: RunEvent) => void events.push(event) };
  await writeOut(bench as unknown as Workbench, context as unknown as RunContext);
  return events;
}

test('the filesystem of the volume is written out, however long it takes, and one sees that it is', async () => {
  const system = scriptedSystem(() => ({}));
  expect(await writtenOut(system, '/mnt/x')).toMatchObject([
    { kind: 'step', id: 'volume.write-out', state: 'start' },
    { kind: 'step', id: 'volume.write-out', state: 'done' },
  ]);
  expect(system.commands).toMatchObject([
    { file: 'sync', args: ['--file-system', '/mnt/x'], timeoutMs: Number.POSITIVE_INFINITY },
  ]);
});

test('with the real program; what it cannot write out is an error that names the repository', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'rdc-write-out-'));
  const system = createLinuxSystem({});
  try {
    expect(await writtenOut(system, directory)).toHaveLength(2);
    const failed = writtenOut(system, join(directory, 'gone'));
    await expect(failed).rejects.toMatchObject({ code: 'FAILED', message: expect.stringContaining('"shop"') });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
