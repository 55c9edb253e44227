// `renet stdio`: one session on stdin and stdout, without a daemon, for a dry run of setup on a machine that has none.
import { Duplex } from 'node:stream';
import { createSessionDeps } from './daemon.ts';
import { serveSession } from './session.ts';

export async function serveStdio(): Promise<number> {
  const nothing = () => undefined;
  const deps = await createSessionDeps({ stopAccepting: nothing, onUpgraded: nothing });
  await serveSession(Duplex.from({ readable: process.stdin, writable: process.stdout }), deps);
  return 0;
}
