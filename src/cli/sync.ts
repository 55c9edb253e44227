// Wires sync-transport.ts to a command's context: which session rsync gets, and how its progress is drawn.
import { RdcError } from '../protocol/errors.ts';
import type { AgentClient } from './agent-client.ts';
import { openProgress, type Progress } from './progress.ts';
import { actorOf, type ReachContext, sshTarget, transportFor } from './reach.ts';
import { findProgram } from './ssh/pick-transport.ts';
import {
  type ShellReference,
  type SyncProgress,
  type SyncRequest,
  type SyncResult,
  syncFiles,
} from './sync-transport.ts';
import type { MachineTarget, RepositoryTarget } from './target.ts';

export interface SyncContext extends ReachContext {
  connect(target: MachineTarget): Promise<AgentClient>;
}

/** An agent of another protocol cannot take the files; a session of the usual kind brings it up to date, or says why not. */
export async function runSync(
  context: SyncContext,
  program: readonly string[],
  repo: RepositoryTarget,
  request: SyncRequest,
): Promise<SyncResult> {
  try {
    return await syncOnce(context, program, repo, request);
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'AGENT_MISMATCH') throw error;
    await (await context.connect(repo.machine)).close();
    return await syncOnce(context, program, repo, request);
  }
}

async function syncOnce(
  context: SyncContext,
  program: readonly string[],
  repo: RepositoryTarget,
  request: SyncRequest,
): Promise<SyncResult> {
  const { env, io, signal, version } = context;
  const reference: ShellReference = {
    client: (await transportFor(context, repo.machine)).name,
    target: { ...sshTarget(repo.machine), hostKeys: [...repo.machine.machine.hostKeys] },
    ...{ repo: repo.ref, directory: request.remote, version, actor: actorOf(env), tty: io.canAsk },
  };
  const progress = await openProgress(io, context.now);
  const title = `${request.direction} ${request.direction === 'upload' ? 'to' : 'from'} "${repo.name}"`;
  try {
    return await syncFiles(request, reference, {
      which: (name) => findProgram(name, env),
      shell: [...program, '__rsh'],
      ...{ env, signal, onProgress: (state) => draw(progress, title, state) },
    });
  } finally {
    progress.close();
  }
}

/** rsync tells the share done, not the whole. */
function draw(progress: Progress, title: string, { bytes, percent }: SyncProgress): void {
  const total = percent > 0 ? Math.round((bytes * 100) / percent) : undefined;
  progress.transfer({ id: title, done: bytes, total, unit: 'bytes' });
}
