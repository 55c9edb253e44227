// What rsync runs in place of ssh: one session with the agent, in which the far rsync is started inside the
// repository. rsync gives it a host name and the far command's words; all else is in a file, so that nothing but a
// path is seen in the process list.
import { readFile, writeFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import { fromWireError, RdcError, toWireError, type WireError } from '../../protocol/errors.ts';
import { PROTOCOL_VERSION } from '../../protocol/hello.ts';
import { repoRefSchema } from '../../protocol/ids.ts';
import { StreamUnframer } from '../../protocol/stream-frames.ts';
import { wireErrorSchema } from '../../protocol/wire-error.ts';
import { AGENT_PLACE } from './access.ts';
import { clientHello, exchangeHello } from './hello.ts';
import { elevate } from './remote-failure.ts';
import type { SshTransport } from './transport.ts';
import { untilTaken } from './turned-away.ts';

export const shellReferenceSchema = z.object({
  client: z.enum(['openssh', 'builtin']),
  target: z.object({
    machine: z.string(),
    host: z.string(),
    port: z.number(),
    user: z.string(),
    identityFile: z.string().optional(),
    hostKeys: z.array(z.string()),
  }),
  repo: repoRefSchema,
  directory: z.string(),
  version: z.string(),
  actor: z.string(),
  tty: z.boolean(),
  launcher: z.string().default(AGENT_PLACE.launcher),
});

export type ShellReference = z.input<typeof shellReferenceSchema>;

export interface RemoteShellDeps {
  transport(client: ShellReference['client']): Promise<SshTransport>;
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
  /** The process itself: rsync ends its remote shell by signal. */
  signals: Pick<NodeJS.EventEmitter, 'on' | 'off'>;
}

/** USR1 is what rsync sends; unhandled it would make Node open its debugger. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'];

/** Our own failure, for a caller that sees rsync's exit code only. */
const OWN_FAILURE = 255;

/** `args`: the reference file, the host name that rsync was given, and the words of the far command. Returns the exit code to end with. */
export async function runRemoteShell(args: readonly string[], deps: RemoteShellDeps): Promise<number> {
  const [file = '', , ...argv] = args;
  const controller = new AbortController();
  const abort = () => controller.abort();
  for (const signal of SIGNALS) deps.signals.on(signal, abort);
  try {
    const reference = shellReferenceSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    return await join(reference, argv, deps, controller.signal);
  } catch (error) {
    await writeFile(errorFile(file), JSON.stringify(toWireError(error)), { mode: 0o600 });
    return OWN_FAILURE;
  } finally {
    for (const signal of SIGNALS) deps.signals.off(signal, abort);
    deps.stdin.destroy();
  }
}

/** Why the remote shell failed, if it was its failure. */
export async function readShellError(referenceFile: string): Promise<RdcError | undefined> {
  try {
    const wire = wireErrorSchema.parse(JSON.parse(await readFile(errorFile(referenceFile), 'utf8')));
    return fromWireError(wire as WireError);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function errorFile(referenceFile: string): string {
  return `${referenceFile}.error`;
}

async function join(
  reference: z.output<typeof shellReferenceSchema>,
  argv: string[],
  deps: RemoteShellDeps,
  signal: AbortSignal,
): Promise<number> {
  const { target: plain, repo, directory, tty, launcher } = reference;
  const { identityFile, ...rest } = plain;
  const target = identityFile === undefined ? rest : { ...rest, identityFile };
  const transport = await deps.transport(reference.client);
  const stream = { kind: 'rsync', repo, argv, directory } as const;
  const timeoutMs = tty ? 300_000 : 60_000;
  const options = { target, right: 'connect', launcher, timeoutMs } as const;
  const attempt = async () => {
    const session = transport.open(target, elevate(target, [launcher, 'connect']), { tty, signal });
    return {
      session,
      hello: await exchangeHello(session, clientHello(reference, { type: 'stream', stream }), options),
    };
  };
  // rsync owns the terminal: nothing is said while it waits.
  const { session, hello } = await untilTaken(attempt, { signal, report: () => undefined });
  try {
    if (hello.error !== undefined) throw fromWireError(hello.error as WireError);
    if (hello.protocol !== PROTOCOL_VERSION) throw otherProtocol(target.machine, hello.version);
    deps.stdin.pipe(session.stdin);
    const unframer = new StreamUnframer();
    const [{ exitCode }] = await Promise.all([
      session.ended,
      pipeline(session.stdout, unframer, deps.stdout, { end: false }).catch((error: unknown) => {
        unlessGone(error);
        // Nobody reads what comes any more: a session with unread data would never end by itself.
        session.close();
      }),
    ]);
    deps.stderr.write(session.stderrText());
    const end = unframer.ending();
    if (end?.error !== undefined) throw fromWireError(end.error as WireError);
    return end?.exitCode ?? (exitCode === 0 ? OWN_FAILURE : exitCode);
  } finally {
    session.close();
  }
}

function otherProtocol(machine: string, version: string): RdcError {
  return new RdcError('AGENT_MISMATCH', `the agent on machine "${machine}" (${version}) is not of this rdc's kind`, {
    hint: `rdc machine status ${machine}`,
  });
}

/** rsync may leave before the far side does; why, it says itself. */
function unlessGone(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'EPIPE' && code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
}
