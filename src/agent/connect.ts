// `renet connect`: joins stdin and stdout to the agent's socket, byte for byte, each half closed on its own. The only
// thing that sudo allows, and part of every command, so it looks at nothing and loads nothing.
import { createConnection, type Socket } from 'node:net';

/** Resolves with the exit code when the agent has closed its half or either side is gone; stdout is to be flushed then. */
export function connect(socketPath: string): Promise<number> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: socketPath, allowHalfOpen: true });
    const onError = (error: NodeJS.ErrnoException) => {
      process.stdout.write(`${JSON.stringify(refusal(error))}\n`);
      resolve(1);
    };
    socket.once('error', onError);
    socket.once('connect', () => {
      socket.off('error', onError);
      resolve(join(socket));
    });
  });
}

function join(socket: Socket): Promise<number> {
  const { stdin, stdout } = process;
  return new Promise((resolve) => {
    socket.once('end', () => resolve(0));
    socket.once('error', () => resolve(1));
    // The client is gone without closing its side: nobody is left to answer.
    const onGone = () => {
      socket.destroy();
      resolve(1);
    };
    stdin.once('error', onGone);
    stdout.once('error', onGone);
    stdin.pipe(socket);
    socket.pipe(stdout, { end: false });
  });
}

/** In the place of the agent's own hello. */
function refusal(error: NodeJS.ErrnoException) {
  const isRoot = process.getuid?.() === 0;
  const wire = isRoot
    ? {
        code: 'NOT_SET_UP',
        message: `the agent of this machine does not answer (${error.code ?? error.message})`,
        hint: 'rdc context setup-machine MACHINE',
      }
    : { code: 'SUDO', message: 'only root may talk to the agent', hint: 'sudo -n renet connect' };
  return { renet: 1, protocol: 0, version: '', bundle: '', setUp: false, error: wire };
}
