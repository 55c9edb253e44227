// `renet stdio`: one session on stdin and stdout, without a daemon, for a dry run of setup on a machine that has none.
// It recovers no runs and leaves no trace.
import { Duplex } from 'node:stream';
import { createAgent } from './agent.ts';
import { ownBundle } from './daemon.ts';
import { serveSession } from './session.ts';

export async function serveStdio(): Promise<number> {
  const nothing = () => undefined;
  const log = (message: string) => void process.stderr.write(`${message}\n`);
  const agent = await createAgent({ bundle: await ownBundle(), log, stopAccepting: nothing, onReplaced: nothing });
  await serveSession(Duplex.from({ readable: process.stdin, writable: process.stdout }), agent);
  // What was begun here ends here: there is no daemon that would go on with it.
  await agent.settle();
  return 0;
}
