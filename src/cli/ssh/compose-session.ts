// `rdc repo compose`: one session with the agent, in which docker compose runs inside the repository. What is typed goes
// there in frames, what compose says comes back in frames (src/protocol/stream-frames.ts).
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fromWireError, RdcError, type WireError } from '../../protocol/errors.ts';
import { type ComposeStream, PROTOCOL_VERSION } from '../../protocol/hello.ts';
import { StreamFramer, StreamUnframer } from '../../protocol/stream-frames.ts';
import { sizeLine, type TerminalSize } from '../../protocol/terminal.ts';
import type { AgentAccess } from './access.ts';
import { openSession } from './agent-connect.ts';
import { connectionLost } from './failure.ts';
import type { SshSession } from './transport.ts';

export type ComposeRequest = Omit<ComposeStream, 'kind'>;

export interface ComposeStreams {
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
  /** Called once compose has begun, where the request has a terminal; what it gives is called at the end. */
  lendTerminal?(onSize: (size: TerminalSize) => void): () => void;
}

/** Why the agent did not take the stream, and whether it is another one than this rdc carries. */
export class StreamRefused extends Error {
  readonly reason: RdcError;
  readonly otherAgent: boolean;
  constructor(reason: RdcError, otherAgent: boolean) {
    super(reason.message);
    this.reason = reason;
    this.otherAgent = otherAgent;
  }
}

/** compose's exit code. Throws StreamRefused, INTERRUPTED, CONNECTION_LOST, or what the login throws. */
export async function composeOverSsh(
  access: AgentAccess,
  request: ComposeRequest,
  streams: ComposeStreams,
): Promise<number> {
  const stream = { kind: 'compose' as const, ...request };
  const { session, hello } = await openSession(access, { type: 'stream', stream });
  try {
    if (hello.error !== undefined || hello.protocol !== PROTOCOL_VERSION) {
      const { sha256 } = await access.bundle();
      const mismatch = new RdcError('AGENT_MISMATCH', `the agent on machine "${access.target.machine}" is another one`);
      const reason = hello.error === undefined ? mismatch : fromWireError(hello.error as WireError);
      throw new StreamRefused(reason, hello.bundle !== sha256);
    }
    return await join(access, session, streams);
  } finally {
    session.close();
    streams.stdin.destroy();
  }
}

async function join(
  access: AgentAccess,
  session: SshSession,
  { stdin, stdout, stderr, lendTerminal }: ComposeStreams,
): Promise<number> {
  const framer = new StreamFramer();
  framer.pipe(session.stdin, { end: false });
  stdin.pipe(framer, { end: false });
  stdin.once('end', () => framer.finish({ exitCode: 0 }));
  const giveBack = lendTerminal?.((size) => {
    if (!framer.writableEnded) framer.write({ aside: sizeLine(size) });
  });
  const unframer = new StreamUnframer({ onAside: (chunk) => stderr.write(chunk) });
  const received = pipeline(session.stdout, unframer, stdout, { end: false });
  await received
    .catch((error: unknown) => {
      // Whoever reads our output may leave first, e.g. head(1): compose is then ended with the session.
      if (!isGone(error)) throw error;
    })
    .finally(giveBack);
  if (access.signal?.aborted === true) throw new RdcError('INTERRUPTED', 'interrupted: compose was ended');
  const end = unframer.ending();
  if (end?.error !== undefined) throw fromWireError(end.error as WireError);
  if (end !== undefined) return end.exitCode;
  throw connectionLost(access.target, session.stderrText());
}

function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}
