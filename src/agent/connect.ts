// `renet connect`: joins stdin and stdout to the daemon's socket, byte for byte. The only thing that sudo allows, so it
// looks at nothing and loads nothing.
import { createConnection } from 'node:net';

/** Resolves with the exit code when either side has ended. */
export function connect(socketPath: string): Promise<number> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: socketPath, allowHalfOpen: true });
    socket.once('connect', () => {
      process.stdin.pipe(socket);
      socket.pipe(process.stdout);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const message = `the agent of this machine does not answer (${error.code ?? error.message})`;
      const wire = { code: 'NOT_SET_UP', message, hint: 'rdc context setup-machine MACHINE' };
      process.stdout.write(
        `${JSON.stringify({ renet: 1, protocol: 0, version: '', bundle: '', setUp: false, error: wire })}\n`,
      );
      resolve(1);
    });
    socket.once('close', () => resolve(0));
    // The client is gone without closing its side: nobody is left to answer.
    process.stdout.on('error', () => socket.destroy());
  });
}
