// `rdc __rsh`, which rsync starts in place of ssh. Its words are rsync's own, so no parser of ours sees them.
import type { RemoteShellDeps } from './ssh/remote-shell.ts';

export async function remoteShell(args: readonly string[], source: NodeJS.Process): Promise<number> {
  const [{ runRemoteShell }, { findProgram, pickTransport }] = await Promise.all([
    import('./ssh/remote-shell.ts'),
    import('./ssh/pick-transport.ts'),
  ]);
  const { stdin, stdout, stderr, env } = source;
  const transport: RemoteShellDeps['transport'] = (prefer) =>
    pickTransport({ prefer, env, which: (program) => findProgram(program, env) });
  return await runRemoteShell(args, { transport, stdin, stdout, stderr, signals: source });
}
