// One connection to the agent: hello lines, then JSON-RPC, a byte stream, or an upgrade.

import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { System } from '../lifecycle/system.ts';
import { RdcError, toWireError } from '../protocol/errors.ts';
import {
  type AgentStream,
  type ClientHello,
  clientHelloSchema,
  PROTOCOL_VERSION,
  type ServerHello,
  type Upgrade,
} from '../protocol/hello.ts';
import type { QueryHandlers } from './handlers.ts';
import { readHelloLine } from './hello-line.ts';
import { parseWith } from './request.ts';
import { serveRpc } from './rpc-session.ts';
import type { Runs } from './runs.ts';

export interface SessionDeps {
  runs: Runs;
  queries: QueryHandlers;
  createSystem(signal?: AbortSignal): System;
  version: string;
  /** sha-256 of the running bundle, hex. */
  bundle: string;
  isSetUp(): Promise<boolean>;
  /** sha-256 of a bundle that did not start, hex. */
  rolledBack(): Promise<string | undefined>;
  /** Everything that can be refused is refused here, before the hello; the answer then moves the bytes, both ways, to the end. */
  openStream(stream: AgentStream, actor: string): Promise<(socket: Duplex) => Promise<void>>;
  serveUpgrade(socket: Duplex, upgrade: Upgrade): Promise<void>;
  /** For the log of the daemon. */
  log(message: string): void;
  /** Milliseconds that a client has for its hello. */
  helloMs?: number;
}

const HELLO_MS = 30_000;

/** Resolves when the session has ended; never throws: what goes wrong is told to the client or is its hang-up. */
export async function serveSession(socket: Duplex, deps: SessionDeps): Promise<void> {
  socket.on('error', () => socket.destroy());
  const tell = await helloTeller(socket, deps);
  try {
    const serve = await accept(socket, deps);
    tell();
    await serve().catch((error: unknown) => deps.log(`a session broke off: ${toWireError(error).message}`));
  } catch (error) {
    tell(error);
  }
  await hangUp(socket);
}

/** Throws what the hello shall refuse with. */
async function accept(socket: Duplex, deps: SessionDeps): Promise<() => Promise<void>> {
  const line = await readHelloLine(socket, deps.helloMs ?? HELLO_MS);
  const { session, actor } = parseHello(line);
  switch (session.type) {
    case 'rpc':
      return () => serveRpc(socket, actor, deps);
    case 'stream': {
      const carry = await deps.openStream(session.stream, actor);
      return () => carry(socket);
    }
    case 'upgrade':
      return () => deps.serveUpgrade(socket, session);
  }
}

/** An upgrade is understood whatever the protocol: it is how an old agent learns the new one. */
function parseHello(line: string): ClientHello {
  const hello = parseJson(line);
  const { protocol, session } = hello as { protocol?: unknown; session?: { type?: unknown } };
  if (protocol !== PROTOCOL_VERSION && session?.type !== 'upgrade') {
    const versions = `the agent speaks protocol ${PROTOCOL_VERSION}, this rdc speaks ${String(protocol)}`;
    throw new RdcError('AGENT_MISMATCH', versions, { hint: 'bring the older of the two up to date' });
  }
  return parseWith(clientHelloSchema, hello, 'hello');
}

function parseJson(line: string): object {
  try {
    const value: unknown = JSON.parse(line);
    if (value !== null && typeof value === 'object') return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new RdcError('INVALID_INPUT', 'the first line is no hello of rdc');
}

/** All that takes time is done before: once something was accepted, nothing may come in between. */
async function helloTeller(socket: Duplex, deps: SessionDeps): Promise<(error?: unknown) => void> {
  const { version, bundle } = deps;
  const [setUp, rolledBack] = await Promise.all([deps.isSetUp(), deps.rolledBack()]);
  return (error) => {
    const hello: ServerHello = {
      ...{ renet: 1, protocol: PROTOCOL_VERSION, version, bundle, setUp },
      ...(rolledBack === undefined ? {} : { rolledBack }),
      ...(error === undefined ? {} : { error: toWireError(error) }),
    };
    if (socket.writable) socket.write(`${JSON.stringify(hello)}\n`);
  };
}

/** Both halves: what is left of a refused client's words is of no use. */
async function hangUp(socket: Duplex): Promise<void> {
  socket.resume();
  if (!socket.destroyed) socket.end();
  await finished(socket, { readable: false }).catch(() => undefined);
  socket.destroy();
}
