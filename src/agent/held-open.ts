// A repository that a stream works in: others may come beside it, and its volume is not closed until the stream has ended.
import type { Duplex } from 'node:stream';
import { acquireLock } from './lock.ts';
import type { Workbench } from './repo-workbench.ts';
import { presenceKey } from './run-subjects.ts';

/** Serves one client; never rejects. */
export type Serve = (socket: Duplex) => Promise<void>;

export interface HoldDeps {
  actor: string;
  lockDir: string;
}

/** `prepare` refuses what can be refused. Throws what it throws, or BUSY while the volume is being closed. */
export async function heldOpen(
  { record: { guid, name } }: Workbench,
  operation: string,
  { actor, lockDir }: HoldDeps,
  prepare: () => Promise<Serve>,
): Promise<Serve> {
  const lock = await acquireLock({
    directory: lockDir,
    key: presenceKey(guid),
    subject: JSON.stringify(name),
    owner: { operation, actor },
    shared: true,
    waitMs: 0,
  });
  try {
    const serve = await prepare();
    return (socket) => serve(socket).finally(() => lock.release());
  } catch (error) {
    await lock.release();
    throw error;
  }
}
