// The first lines of a session with the agent: ours goes out, its own is found among whatever a login prints.
import { RdcError } from '../../protocol/errors.ts';
import {
  type ClientHello,
  clientHelloSchema,
  PROTOCOL_VERSION,
  SERVER_HELLO_PREFIX,
  type ServerHello,
  serverHelloSchema,
} from '../../protocol/hello.ts';
import { withDeadline } from './deadline.ts';
import { LineReader } from './line-reader.ts';
import { explainSilence, type Right } from './remote-failure.ts';
import { Tail } from './tail.ts';
import type { SshSession, SshTarget } from './transport.ts';

export interface Speaker {
  version: string;
  /** user@workstation */
  actor: string;
}

export interface HelloOptions {
  target: SshTarget;
  right: Right;
  launcher: string;
  /** Milliseconds to wait for the agent's line; longer where a person may have to type a passphrase. */
  timeoutMs: number;
}

export function clientHello({ version, actor }: Speaker, session: ClientHello['session']): string {
  const hello: ClientHello = { rdc: 1, protocol: PROTOCOL_VERSION, version, actor, session };
  return `${JSON.stringify(clientHelloSchema.parse(hello))}\n`;
}

/** Sends `line`, waits for the agent's hello, and leaves stdout at the first byte after it. Closes the session when there is none. */
export async function exchangeHello(session: SshSession, line: string, options: HelloOptions): Promise<ServerHello> {
  session.stdin.write(line);
  const reader = new LineReader(session.stdout);
  const noise = new Tail();
  try {
    const tooLate = () => silent(options, `no answer within ${options.timeoutMs / 1000} s`, noise, session);
    return await withDeadline(findHello(session, reader, noise, options), options.timeoutMs, tooLate);
  } catch (error) {
    session.close();
    throw error;
  } finally {
    reader.release();
  }
}

async function findHello(
  session: SshSession,
  reader: LineReader,
  noise: Tail,
  options: HelloOptions,
): Promise<ServerHello> {
  for (let line = await reader.next(); line !== undefined; line = await reader.next()) {
    if (line.startsWith(SERVER_HELLO_PREFIX)) return parseHello(line, options);
    noise.push(Buffer.from(`${line}\n`));
  }
  const { exitCode } = await session.ended;
  throw explainSilence({ ...options, exitCode, stderr: session.stderrText(), noise: noise.text() });
}

function parseHello(line: string, { target }: HelloOptions): ServerHello {
  const parsed = serverHelloSchema.safeParse(JSON.parse(line));
  if (parsed.success) return parsed.data;
  throw new RdcError('AGENT_MISMATCH', `the agent on machine "${target.machine}" speaks a language this rdc does not`, {
    hint: `rdc context setup-machine ${target.machine}`,
    cause: parsed.error,
  });
}

function silent({ target }: HelloOptions, reason: string, noise: Tail, session: SshSession): RdcError {
  return new RdcError('UNREACHABLE', `the agent on machine "${target.machine}" gave ${reason}`, {
    cause: `${noise.text()}${session.stderrText()}`,
  });
}
