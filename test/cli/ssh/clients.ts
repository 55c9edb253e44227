// Both ssh clients, and what tests ask of a session.
import { builtinTransport } from '../../../src/cli/ssh/builtin.ts';
import { openSshTransport } from '../../../src/cli/ssh/openssh.ts';
import type { SshSession, SshTransport } from '../../../src/cli/ssh/transport.ts';
import type { RdcError } from '../../../src/protocol/errors.ts';

/** No agent and no keys of the person who runs the tests. */
export const emptyEnvironment = { HOME: '/nonexistent' };

export const clients: [string, SshTransport][] = [
  ['openssh', openSshTransport('/usr/bin/ssh')],
  ['builtin', builtinTransport({ env: emptyEnvironment })],
];

export async function outputOf(session: SshSession): Promise<Buffer> {
  return Buffer.concat(await session.stdout.toArray());
}

/** open() may refuse at once, or the session may end badly. */
export async function failureOf(run: () => SshSession): Promise<RdcError> {
  try {
    const session = run();
    session.stdout.resume();
    const end = await session.ended;
    throw new Error(`ended with ${end.exitCode}, ${session.stderrText()}`);
  } catch (error) {
    return error as RdcError;
  }
}
