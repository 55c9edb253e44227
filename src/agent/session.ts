// One connection to the daemon: hello lines, then JSON-RPC, a byte stream, or an upgrade.
import type { Duplex } from 'node:stream';
import type { System } from '../lifecycle/system.ts';
import { RdcError, toWireError } from '../protocol/errors.ts';
import {
  type ClientHello,
  clientHelloSchema,
  PROTOCOL_VERSION,
  type ServerHello,
  type Upgrade,
} from '../protocol/hello.ts';
import type { QueryHandlers } from './handlers.ts';
import { serveRpc } from './rpc-session.ts';
import type { Runs } from './runs.ts';

/** A hello is a few hundred bytes; anybody who sends more is not our client. */
const LONGEST_HELLO = 64 * 1024;

export interface SessionDeps {
  runs: Runs;
  queries: QueryHandlers;
  createSystem(signal?: AbortSignal): System;
  version: string;
  /** sha-256 of the running bundle, hex. */
  bundle: string;
  isSetUp(): Promise<boolean>;
  /** Bytes of a stream session, both ways; resolves at its end. */
  serveStream(socket: Duplex, hello: ClientHello, answer: (error?: RdcError) => void): Promise<void>;
  serveUpgrade(socket: Duplex, upgrade: Upgrade): Promise<void>;
}

/** Resolves when the connection has ended; never throws: what goes wrong is told to the client or is its hang-up. */
export async function serveSession(socket: Duplex, deps: SessionDeps): Promise<void> {
  socket.on('error', () => socket.destroy());
  const line = await readLine(socket);
  if (line === undefined) {
    socket.destroy();
    return;
  }
  const answer = async (error?: unknown) => {
    const hello: ServerHello = {
      renet: 1,
      protocol: PROTOCOL_VERSION,
      version: deps.version,
      bundle: deps.bundle,
      setUp: await deps.isSetUp(),
      ...(error === undefined ? {} : { error: toWireError(error) }),
    };
    socket.write(`${JSON.stringify(hello)}\n`);
  };
  try {
    await serve(socket, parseHello(line), deps, answer);
  } catch (error) {
    await answer(error);
    socket.end();
  }
}

async function serve(
  socket: Duplex,
  hello: ClientHello,
  deps: SessionDeps,
  answer: (error?: unknown) => Promise<void>,
): Promise<void> {
  const { session } = hello;
  switch (session.type) {
    case 'rpc':
      await answer();
      return serveRpc(socket, hello.actor, deps);
    case 'stream':
      return deps.serveStream(socket, hello, (error) => void answer(error));
    case 'upgrade':
      await answer();
      return deps.serveUpgrade(socket, session);
  }
}

function parseHello(line: string): ClientHello {
  const hello: unknown = JSON.parse(line);
  const protocol = hello !== null && typeof hello === 'object' && 'protocol' in hello ? hello.protocol : undefined;
  const upgrading = JSON.stringify(hello).includes('"type":"upgrade"');
  if (protocol !== PROTOCOL_VERSION && !upgrading) {
    throw new RdcError(
      'AGENT_MISMATCH',
      `the agent speaks protocol ${PROTOCOL_VERSION}, this rdc speaks ${String(protocol)}`,
      {
        hint: 'bring the older of the two up to date',
      },
    );
  }
  return clientHelloSchema.parse(hello);
}

/** The first line; what follows it stays in the stream. undefined: the other side left, or sent no line. */
function readLine(socket: Duplex): Promise<string | undefined> {
  return new Promise((resolve) => {
    let head = Buffer.alloc(0);
    const finish = (line: string | undefined) => {
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      resolve(line);
    };
    const onEnd = () => finish(undefined);
    const onReadable = () => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(0x0a);
        if (end >= 0) {
          if (end + 1 < head.length) socket.unshift(head.subarray(end + 1));
          return finish(head.subarray(0, end).toString('utf8'));
        }
        if (head.length > LONGEST_HELLO) return finish(undefined);
      }
    };
    socket.on('readable', onReadable);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
  });
}
