// What a run has brought is on disk before it is told as done.
import { command } from '../lifecycle/command.ts';
import { RdcError } from '../protocol/errors.ts';
import type { RunContext } from './handlers.ts';
import type { Workbench } from './repo-workbench.ts';
import { reportedStep } from './reported-step.ts';

/**
 * Writes the volume's filesystem out (syncfs(2), sync(1)). Docker records an image as pulled before the kernel has written its
 * files: after a power cut within that half minute they are empty, and no further pull repairs that (containerd/containerd#8895,
 * moby/moby#49784). Throws FAILED where the disk does not take it all, as on a full datastore.
 */
export async function writeOut({ record, target }: Workbench, context: RunContext): Promise<void> {
  const { mountPoint } = target.paths;
  await reportedStep(context, { id: 'volume.write-out', title: 'write everything to disk' }, async () => {
    const sync = { ...command('sync', '--file-system', mountPoint), timeoutMs: Number.POSITIVE_INFINITY };
    await context.system.run(sync).catch((error: unknown) => {
      throw new RdcError('FAILED', `the disk did not take all that was written to "${record.name}"`, {
        hint: `rdc repo status ${record.name}`,
        cause: error,
      });
    });
  });
}
